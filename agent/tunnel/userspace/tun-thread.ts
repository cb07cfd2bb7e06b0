/** The thread of a tunnel over TUN: interface, WireGuard and UDP port, apart from the agent, whose own work (code
 *  that is loaded, a storm of gossip) then delays no packet. */
import { parentPort, workerData } from 'node:worker_threads'
import { randomBytes } from '../../../crypto/random.ts'
import { systemClock } from '../../system-clock.ts'
import { TunnelError } from '../errors.ts'
import { userspaceDevice } from './device.ts'
import { Engine } from './engine.ts'
import {
  decodeChange,
  encodeError,
  type FromThread,
  type ThreadCalls,
  type ToThread,
} from './thread-calls.ts'
import { openTun, type TunCalls, type TunDevice } from './tun-device.ts'
import { openUnderlay } from './underlay.ts'

const { interfaceName } = workerData as { readonly interfaceName: string }
const post = (said: FromThread): void => parentPort?.postMessage(said)

interface Running {
  readonly interfaceOfHost: TunDevice
  readonly engine: Engine
  readonly device: ReturnType<typeof userspaceDevice>
}

let running: Running | undefined

function opened(): Running {
  if (running === undefined) throw new Error('the interface is not open')
  return running
}

async function open(): Promise<void> {
  const interfaceOfHost = openTun(interfaceName, await systemCalls())
  const engine = new Engine({
    device: interfaceOfHost,
    openUnderlay,
    clock: systemClock,
    random: randomBytes,
    log: (...line) => post({ kind: 'log', line }),
  })
  engine.onOther = (datagram, from) => post({ kind: 'datagram', datagram, from })
  running = { interfaceOfHost, engine, device: userspaceDevice(engine, interfaceName) }
  void interfaceOfHost.ended.then((error) =>
    post({ kind: 'ended', error: error && encodeError(error) }),
  )
}

async function systemCalls(): Promise<TunCalls> {
  try {
    return (await import('./tun-calls.ts')).tunCalls()
  } catch (cause) {
    const message = 'koffi, which opens /dev/net/tun, has no build for this system'
    const hint = 'choose --backend kernel or wireguard-go'
    throw new TunnelError('ERR_TUNNEL_BACKEND_MISSING', `${message} (${hint})`, { cause })
  }
}

const calls: ThreadCalls = {
  open,
  read: async () => {
    const { listenPort, peers } = await opened().device.read()
    return { listenPort, peers }
  },
  change: (change) => opened().device.change(decodeChange(change)),
  setEndpoint: (key, endpoint) => opened().device.setEndpoint(key, endpoint),
  setKeepalive: (key, seconds) => opened().device.setKeepalive(key, seconds),
  replacePeer: (peer) => opened().device.replacePeer(peer),
  configure: async ({ addresses, mtu, peers }) => {
    const { engine } = opened()
    engine.configure({ addresses, mtu })
    for (const { publicKey, mtu: ofPath } of peers) engine.machine.peer(publicKey)?.setMtu(ofPath)
  },
  redirect: (others, endpoint) => opened().engine.redirections.redirect(others, endpoint),
  end: async () => {
    await running?.device[Symbol.asyncDispose]()
    await running?.interfaceOfHost[Symbol.asyncDispose]()
    parentPort?.close()
  },
}

parentPort?.on('message', (said: ToThread) => {
  switch (said.kind) {
    case 'call': {
      const { id, name, args } = said
      const call = calls[name] as (...given: readonly unknown[]) => Promise<unknown>
      call(...args).then(
        (value) => post({ kind: 'answer', id, value }),
        (error: unknown) => post({ kind: 'failure', id, error: encodeError(error) }),
      )
      return
    }
    case 'send':
      running?.engine.sendOther(said.datagram, said.to)
      return
    case 'inject':
      running?.engine.inject(said.datagram, said.from)
      return
    case 'divert': {
      const { address } = said
      running?.engine.divert(address, (datagram) => post({ kind: 'diverted', address, datagram }))
      return
    }
    case 'undivert':
      running?.engine.undivert(said.address)
      return
    case 'divert-endpoint': {
      const { remote } = said
      running?.engine.divertEndpoint(remote, (datagram) =>
        post({ kind: 'endpoint-diverted', remote, datagram }),
      )
      return
    }
    case 'undivert-endpoint':
      running?.engine.divertEndpoint(said.remote, undefined)
      return
    case 'arrived':
      running?.engine.arrived(said.datagram, said.from)
  }
})
