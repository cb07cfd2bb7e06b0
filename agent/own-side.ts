/** Own side: what the plan needs to know of this device and its host. */
import type { IpAddress } from '../protocol/address.ts'
import type { Clock } from '../protocol/clock.ts'
import type { DeviceId } from '../protocol/keys.ts'
import { defaultLinkMtu, readRouteMtus } from './host/link-mtu.ts'
import { localPrefixes } from './host/local-addresses.ts'
import { foreignNetworks } from './host/routed-networks.ts'
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

type HostFacts = Pick<Self, 'mtu' | 'localPrefixes' | 'foreignNetworks'>

/** Milliseconds for which what was read of the host holds, should no event tell of a change. */
const HOST_MS = 30_000

/** Its networks and the MTU of its links, as they are now where there is news, and its organizations, which are asked.
 *  Time alone changes little, and asks often. */
export function ownSides(device: DeviceId, options: OwnSideOptions): (isNews: boolean) => Self {
  const { directory, knowledge, listenPort, clock, neighbours } = options
  let read: { readonly host: HostFacts; readonly atMs: number } | undefined
  return (isNews) => {
    const nowMs = clock.monotonicMs()
    if (read === undefined || isNews || nowMs >= read.atMs + HOST_MS)
      read = { host: readHost(options), atMs: nowMs }
    return {
      ...{ device, wireguardKey: directory.wireguardKey, listenPort, ...read.host },
      share: neighbours?.share(knowledge.state(), device, clock.now()),
    }
  }
}

function readHost({ tunnel, inside }: OwnSideOptions): HostFacts {
  return {
    mtu: interfaceMtu(defaultLinkMtu(tunnel.interfaceName)),
    // A tunnel inside the process takes no route of the host.
    localPrefixes: inside === undefined ? localPrefixes(tunnel.interfaceName) : [],
    foreignNetworks: inside === undefined ? foreignNetworks(tunnel.interfaceName) : [],
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
