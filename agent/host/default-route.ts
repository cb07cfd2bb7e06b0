/** Default route: whether anything but the local networks can be reached, and by which family. */
import { z } from 'zod'
import type { AddressFamily } from '../../protocol/address.ts'
import type { Commands } from './run.ts'

const ROUTES = z.array(z.unknown())

/** Throws CommandError: ip is missing, or not permitted. */
export async function hasDefaultRoute(commands: Commands, family: AddressFamily): Promise<boolean> {
  const text = await commands.run('ip', ['-json', `-${family}`, 'route', 'show', 'default'])
  return ROUTES.parse(JSON.parse(text.trim() || '[]')).length > 0
}
