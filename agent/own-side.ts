/** Own side: what the plan needs to know of this device and its host. */
import type { IpAddress } from '../protocol/address.ts'
import type { Clock } from '../protocol/clock.ts'
import type { DeviceId } from '../protocol/keys.ts'
import { defaultLinkMtu, readRouteMtus } from './host/link-mtu.ts'
import { localPrefixes } from './host/local-addresses.ts'
import type { Commands } from './host/run.ts'
import type { Knowledge } from './knowledge.ts'
import type { Neighbours } from './organizations/neighbours.ts'
import type { PathMtuHost } from './path/paths.ts'
import type { Self } from './plan.ts'
import type { Stack } from './stack/stack.ts'
import type { StateDirectory } from './state-directory.ts'
import type { Tunnel } from './tunnel/backend.ts'
import { interfaceMtu } from './tunnel/mtu.ts'

export interface OwnSideOptions {
  readonly directory: StateDirectory
  readonly knowledge: Knowledge
  readonly listenPort: number
  readonly tunnel: Tunnel
  /** Of a tunnel that has no interface. */
  readonly inside?: Stack | undefined
  readonly clock: Clock
  /** Other organizations of this host; absent where there can be none. */
  readonly neighbours?: Neighbours | undefined
}

/** As the host is now: its networks and the MTU of its links are read, and its organizations asked. */
export function ownSide(device: DeviceId, options: OwnSideOptions): Self {
  const { directory, knowledge, listenPort, tunnel, inside, clock, neighbours } = options
  return {
    device,
    wireguardKey: directory.wireguardKey,
    listenPort,
    mtu: interfaceMtu(defaultLinkMtu(tunnel.interfaceName)),
    // A tunnel inside the process takes no route of the host.
    localPrefixes: inside === undefined ? localPrefixes(tunnel.interfaceName) : [],
    share: neighbours?.share(knowledge.state(), device, clock.now()),
  }
}

/** What MTU discovery needs of the host. */
export function mtuHost(
  commands: Commands,
  ofInterface: () => number,
  onChange: () => void,
): PathMtuHost {
  const readMtus = (addresses: readonly IpAddress[]) => readRouteMtus(commands, addresses)
  return { ofInterface, readRouteMtus: readMtus, onChange }
}
