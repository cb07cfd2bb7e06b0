/** Tunnel: a WireGuard device and its interface's addresses and routes, as one wanted state. */
import type { AgreementPublicKey } from '../../crypto/agreement.ts'
import { equal } from '../../crypto/bytes.ts'
import { configureInterface, NEW_INTERFACE } from '../host/interface.ts'
import type { InterfaceState } from '../host/interface-tool.ts'
import { wantedRoutes } from '../host/routes.ts'
import type { BackendOptions, Tunnel, TunnelConfig, TunnelPeer } from './backend.ts'
import type { WireGuardDevice } from './device.ts'
import { DeviceBelief } from './device-belief.ts'
import { diffTunnel, isEmpty } from './diff.ts'

type Queue = <T>(task: () => Promise<T>) => Promise<T>

/** What surrounds the WireGuard device. */
export interface HostSide {
  /** It may be another than it was configured last. */
  invalidate(): void
  configure(wanted: TunnelConfig): Promise<void>
}

/** Owns the device from now on. What paths set does not wait for the slower commands of the host. */
export function tunnelOver(device: WireGuardDevice, host: HostSide): Tunnel {
  const [whole, onDevice] = [queue(), queue()]
  const belief = new DeviceBelief()
  const configureDevice = async (wanted: TunnelConfig): Promise<void> => {
    const current = await belief.current(() => device.read())
    const { wireGuard, isInterfaceChanged } = diffTunnel(current, wanted)
    if (isInterfaceChanged) host.invalidate()
    if (!isEmpty(wireGuard)) await belief.during(() => device.change(wireGuard))
    belief.configured(wanted)
  }
  const onPeer = (
    key: AgreementPublicKey,
    task: (peer: TunnelPeer) => Promise<void>,
  ): Promise<void> =>
    onDevice(async () => {
      const peer = belief.peer(key)
      if (peer !== undefined) await belief.during(() => task(peer))
    })
  return {
    kind: device.kind,
    interfaceName: device.interfaceName,
    ended: device.ended,
    configure: (wanted) =>
      whole(async () => {
        await onDevice(() => configureDevice(wanted))
        await host.configure(wanted)
      }),
    setEndpoint: (key, endpoint) =>
      onPeer(key, async () => {
        await device.setEndpoint(key, endpoint)
        belief.override(key, { endpoint })
      }),
    setKeepalive: (key, persistentKeepalive) =>
      onPeer(key, async () => {
        await device.setKeepalive(key, persistentKeepalive)
        belief.override(key, { persistentKeepalive })
      }),
    restartPeer: (key) =>
      onPeer(key, async (peer) => device.replacePeer(await withEndpoint(device, peer))),
    stats: async () => (await device.read()).peers,
    [Symbol.asyncDispose]: () =>
      whole(() =>
        onDevice(async () => {
          await device[Symbol.asyncDispose]()
        }),
      ),
  }
}

/** A peer that nobody gave an endpoint may have shown its own. */
async function withEndpoint(device: WireGuardDevice, peer: TunnelPeer): Promise<TunnelPeer> {
  if (peer.endpoint !== undefined) return peer
  const { peers } = await device.read()
  const endpoint = peers.find(({ publicKey }) => equal(publicKey, peer.publicKey))?.endpoint
  return endpoint === undefined ? peer : { ...peer, endpoint }
}

/** Addresses and routes: made again only after `invalidate`, or when making them failed. What is there is read
 *  but for the first time, when nothing is. */
export function hostSide({ commands, interfaceName, log }: BackendOptions): HostSide {
  let isValid = false
  let hadIpv6 = true
  let known: InterfaceState | undefined = NEW_INTERFACE
  return {
    invalidate() {
      isValid = false
    },
    async configure(wanted) {
      if (isValid) return
      const { addresses, mtu } = wanted
      const routes = wantedRoutes({ ...wanted, peers: wanted.peers.values() })
      const current = known
      known = undefined
      isValid = true
      try {
        const { hasIpv6 } = await configureInterface(
          commands,
          interfaceName,
          { mtu, addresses, routes },
          current,
        )
        if (hadIpv6 && !hasIpv6) log('warn', 'tunnel.ipv6-off', { interface: interfaceName })
        hadIpv6 = hasIpv6
      } catch (error) {
        isValid = false
        throw error
      }
    },
  }
}

/** Runs tasks one after the other. */
function queue(): Queue {
  let last: Promise<unknown> = Promise.resolve()
  return (task) => {
    const result = last.then(task)
    last = result.catch(() => undefined)
    return result
  }
}
