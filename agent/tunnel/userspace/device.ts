/** The userspace backend: WireGuard in this process, told what to do without any process or privilege between. */
import type { AgreementPublicKey } from '../../../crypto/agreement.ts'
import { unreachable } from '../../../protocol/errors.ts'
import { LATE_MS, sourcesOf, type TunnelConfig, type TunnelPeer } from '../backend.ts'
import type { DevicePeer, DeviceState, WireGuardDevice } from '../device.ts'
import type { PeerStep, WireGuardChange } from '../diff.ts'
import { TunnelError } from '../errors.ts'
import type { HostSide } from '../tunnel.ts'
import type { Engine } from './engine.ts'
import type { Peer } from './peer.ts'

/** Owns the engine from now on. @param name for logs and errors: no interface has it */
export function userspaceDevice(engine: Engine, name: string): WireGuardDevice {
  const { machine } = engine
  const ended = Promise.withResolvers<undefined>()
  const set = (publicKey: AgreementPublicKey, settings: Parameters<typeof machine.setPeer>[1]) => {
    machine.setPeer(publicKey, settings)
    engine.changed()
  }
  return {
    kind: 'userspace',
    interfaceName: name,
    ended: ended.promise,
    read: async () => stateOf(engine),
    change: (change) => makeChange(engine, change),
    setEndpoint: async (publicKey, endpoint) => set(publicKey, { endpoint }),
    setKeepalive: async (publicKey, persistentKeepalive) => set(publicKey, { persistentKeepalive }),
    replacePeer: async (peer) => {
      const { publicKey, endpoint, persistentKeepalive } = peer
      machine.removePeer(publicKey)
      machine.setPeer(publicKey, { endpoint })
      setMtu(engine, peer)
      machine.allow(publicKey, sourcesOf(peer))
      set(publicKey, { persistentKeepalive })
    },
    async [Symbol.asyncDispose]() {
      await engine[Symbol.asyncDispose]()
      ended.resolve(undefined)
    },
  }
}

/** In the place of the host's interface, addresses and routes: the packet device and what the peers' paths carry. */
export function userspaceHost(engine: Engine): HostSide {
  return {
    invalidate: () => undefined,
    configure: async ({ addresses, mtu, peers }: TunnelConfig) => {
      engine.configure({ addresses, mtu })
      for (const peer of peers.values()) setMtu(engine, peer)
    },
  }
}

function setMtu({ machine }: Engine, { publicKey, mtu }: TunnelPeer): void {
  machine.peer(publicKey)?.setMtu(mtu)
}

async function makeChange(engine: Engine, change: WireGuardChange): Promise<void> {
  const { machine } = engine
  if (change.privateKey !== undefined) machine.setPrivateKey(change.privateKey)
  if (change.listenPort !== undefined) await bind(engine, change.listenPort)
  for (const step of change.peers) makeStep(engine, step)
  engine.changed()
}

async function bind(engine: Engine, port: number): Promise<void> {
  try {
    await engine.bind(port)
  } catch (cause) {
    const isTaken = cause instanceof Error && 'code' in cause && cause.code === 'EADDRINUSE'
    if (!isTaken) throw cause
    throw new TunnelError(
      'ERR_TUNNEL_PORT_TAKEN',
      `UDP port ${port} is in use (stop what has it, or choose another port with --listen-port)`,
      { cause },
    )
  }
}

function makeStep({ machine }: Engine, step: PeerStep): void {
  switch (step.kind) {
    case 'set':
      machine.setPeer(step.publicKey, { endpoint: step.endpoint })
      machine.allow(step.publicKey, step.gained)
      machine.setPeer(step.publicKey, { persistentKeepalive: step.persistentKeepalive })
      return
    case 'drop':
      machine.disallow(step.publicKey, step.dropped)
      return
    case 'late':
      machine.allowLate(step.publicKey, step.prefixes, LATE_MS)
      return
    case 'remove':
      machine.removePeer(step.publicKey)
      return
    default:
      unreachable(step)
  }
}

function stateOf({ machine, port }: Engine): DeviceState {
  const { privateKey } = machine
  const peers = [...machine.peers()].map((peer) => devicePeer(peer, machine.allowedIps.of(peer)))
  return { ...(privateKey === undefined ? {} : { privateKey }), listenPort: port, peers }
}

function devicePeer(peer: Peer, allowedIps: DevicePeer['allowedIps']): DevicePeer {
  const { publicKey, endpoint, persistentKeepalive, counters } = peer
  return {
    publicKey,
    ...(endpoint === undefined ? {} : { endpoint }),
    persistentKeepalive,
    allowedIps,
    ...counters,
  }
}
