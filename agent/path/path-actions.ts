/** What each action of the path machine does. */
import { type Endpoint, formatEndpoint } from '../../protocol/address.ts'
import { unreachable } from '../../protocol/errors.ts'
import type { Seconds } from '../../protocol/time.ts'
import type { PathAction, PathInput } from './machine.ts'
import type { PathContext } from './path-context.ts'
import type { PathPeer } from './paths.ts'
import type { PeerTunnel } from './peer-tunnel.ts'

export interface PathActor {
  readonly context: PathContext
  readonly peer: PathPeer
  readonly tunnel: PeerTunnel
  /** The agent's socket for the peer. */
  readonly loopback: Endpoint
  /** As WireGuard showed when it was last looked at. */
  readonly latestHandshake: Seconds
  give(input: PathInput): void
}

export function perform(action: PathAction, actor: PathActor): void {
  const { context, peer, tunnel, loopback, give } = actor
  switch (action.kind) {
    case 'send-check':
      context.sendCheck(peer, action.endpoint)
      break
    case 'send-relay-check':
      give({ kind: 'relay', available: context.sendCheck(peer, 'relay') })
      break
    case 'send-punch':
      context.sendPunch(peer)
      break
    case 'refresh-mapping':
      context.refreshMapping()
      break
    case 'use-direct':
      tunnel.use(action.endpoint, action.others)
      break
    case 'use-relay':
      tunnel.use(loopback)
      break
    case 'report-blocked':
      reportBlocked(action.endpoint, action.forMs, actor)
      break
    case 'wake':
      tunnel.wake(() => give({ kind: 'woken' }))
      break
    case 'rest':
      tunnel.rest(action.restart)
      break
    case 'restart-peer':
      tunnel.restart(actor.latestHandshake, () => context.lookSoon(0))
      break
    default:
      unreachable(action)
  }
}

function reportBlocked(endpoint: Endpoint, forMs: number, { context, peer }: PathActor): void {
  context.log('warn', 'path.wireguard-blocked', {
    peer: peer.name,
    endpoint: formatEndpoint(endpoint),
    retrySeconds: Math.round(forMs / 1000),
    hint: 'checks pass this path and WireGuard does not: another path is used',
  })
}
