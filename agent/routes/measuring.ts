/** Measuring: what a running agent knows the carriers of its routes by. */
import { toHex } from '../../crypto/bytes.ts'
import { addressFamily, prefixAddress } from '../../protocol/address.ts'
import { memberOf } from '../../protocol/belief.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import type { Log } from '../../protocol/log.ts'
import type { Daemon } from '../daemon.ts'
import type { ExitClient } from './exit-client.ts'
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
    addressOf: (device) => {
      const addresses = daemon.plan.peers.get(device)?.certificate.addresses ?? []
      const first = addresses.find((each) => addressFamily(each) === 4) ?? addresses[0]
      return first === undefined ? undefined : prefixAddress(first)
    },
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
    reachesAnybody: () => (daemon.parts.mesh?.connections().length ?? 0) > 0,
    exitPreference: () => exit.settings.preference,
    onChange: () => daemon.apply(),
  })
}
