/** Epoch: for how long a gateway has had its state, and whether it lost it since it last said so. */
import type { Seconds } from '../../../protocol/time.ts'
import type { MappingProtocol } from './mapping.ts'

export interface Epoch {
  readonly seconds: Seconds
  /** When it was heard, milliseconds of the monotonic clock. */
  readonly heardMs: number
}

/** PCP's clocks differ by a sixteenth and two seconds at most, either way (RFC 6887 §8.5); NAT-PMP's may be
 *  an eighth and two seconds behind (RFC 6886 §3.6). UPnP has none. */
export function isStateLost(protocol: MappingProtocol, before: Epoch, now: Epoch): boolean {
  const server = now.seconds - before.seconds
  const client = (now.heardMs - before.heardMs) / 1000
  switch (protocol) {
    case 'pcp':
      if (server < -1) return true
      return client + 2 < server - server / 16 || server + 2 < client - client / 16
    case 'nat-pmp':
      return server < (client * 7) / 8 - 2
    case 'upnp':
      return false
  }
}
