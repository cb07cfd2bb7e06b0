/** Daemon watch: the route watch of a running daemon, by its plan, its tunnel and its paths. */
import { toHex } from '../../crypto/bytes.ts'
import { addressFamily, type IpAddress, prefixAddress } from '../../protocol/address.ts'
import { memberOf } from '../../protocol/belief.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import type { Log } from '../../protocol/log.ts'
import type { Daemon } from '../daemon.ts'
import type { Plan } from '../plan.ts'
import type { ExitClient } from './exit-client.ts'
import { mayEcho } from './may-echo.ts'
import { newProber } from './prober.ts'
import { RouteWatch } from './route-watch.ts'

export function nameOf(daemon: Daemon, device: DeviceId): string {
  const { knowledge, clock } = daemon.options
  return memberOf(knowledge.state(), device, clock.now())?.certificate.name ?? device
}

export function newWatch(
  { log }: { readonly log: Log },
  daemon: Daemon,
  exit: ExitClient,
): RouteWatch {
  const { clock, inside, tunnel } = daemon.options
  return new RouteWatch({
    device: daemon.device,
    clock,
    log,
    prober: newProber(inside, clock),
    addressOf: (device) => askedAt(daemon.plan, device),
    mayEcho: (device) => mayEchoTo(daemon.plan, device),
    path: (device) => daemon.parts.paths?.status(device) ?? { kind: 'idle' },
    sentBytes: async () => {
      const stats = await tunnel.stats()
      const byKey = new Map(stats.map((each) => [toHex(each.publicKey), each.sentBytes]))
      return new Map(
        [...daemon.plan.peers].map(([device, { certificate }]) => [
          device,
          byKey.get(toHex(certificate.wireguardKey)) ?? 0,
        ]),
      )
    },
    nameOf: (device) => nameOf(daemon, device),
    reachesAnybody: () => reachesAnybody(daemon),
    exitPreference: () => exit.settings.preference,
    onChange: () => daemon.apply(),
  })
}

/** Has it a way to anybody that packets may take? By the mesh alone a standby could tell everybody that it takes over, and
 *  carry nothing. */
export function reachesAnybody({
  parts,
  enforcement,
}: Pick<Daemon, 'parts' | 'enforcement'>): boolean {
  return enforcement.isOpen && (parts.mesh?.connections().length ?? 0) > 0
}

/** Its overlay address that is asked for an echo; undefined: it is no member. */
function askedAt({ peers }: Plan, device: DeviceId): IpAddress | undefined {
  const addresses = peers.get(device)?.certificate.addresses ?? []
  const first = addresses.find((each) => addressFamily(each) === 4) ?? addresses[0]
  return first === undefined ? undefined : prefixAddress(first)
}

function mayEchoTo(plan: Plan, device: DeviceId): boolean {
  const { policy, own, peers } = plan
  const [peer, address] = [peers.get(device), askedAt(plan, device)]
  if (policy === undefined || own === undefined || peer === undefined || address === undefined)
    return true
  return mayEcho(policy, own.certificate, peer.certificate, address)
}
