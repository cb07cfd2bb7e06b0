/** Default route: whether anything but the local networks can be reached, and by which family. */
import { z } from 'zod'
import type { AddressFamily } from '../../protocol/address.ts'
import { defaultRoutes, whereMissing } from './proc-routes.ts'
import type { Commands } from './run.ts'

const ROUTES = z.array(z.unknown())

/** Throws CommandError where `ip` fails; where it is missing /proc tells. */
export function hasDefaultRoute(commands: Commands, family: AddressFamily): Promise<boolean> {
  const asked = commands
    .run('ip', ['-json', `-${family}`, 'route', 'show', 'default'])
    .then((text) => ROUTES.parse(JSON.parse(text.trim() || '[]')).length > 0)
  return whereMissing(asked, () => defaultRoutes(family).length > 0)
}
