/** Prefixes that the operator wants this device to advertise: each from the moment that an admin has granted it. */
import { prefixContains } from '../protocol/address.ts'
import { memberOf } from '../protocol/belief.ts'
import type { Daemon } from './daemon.ts'
import type { Asks } from './registry-client.ts'

/** What was advertised before stays as it is: `nexctl route withdraw` has the last word. */
export function advertiseAsked(
  daemon: Pick<Daemon, 'device' | 'route'> & {
    readonly options: Pick<Daemon['options'], 'knowledge' | 'clock'>
  },
  { prefixes }: Asks,
): void {
  const { knowledge, clock } = daemon.options
  const state = knowledge.state()
  const granted = memberOf(state, daemon.device, clock.now())?.certificate.prefixes ?? []
  const said = [...state.routes.values()].filter(({ signer }) => signer === daemon.device)
  for (const prefix of prefixes) {
    const isGranted = granted.some((each) => prefixContains(each, prefix))
    const isSaid = said.some(({ body }) => body.prefix === prefix)
    if (isGranted && !isSaid) daemon.route(prefix, 'active')
  }
}
