/** A stranger: a libp2p node that says whatever a test wants in place of a hello. */
import { noise } from '@chainsafe/libp2p-noise'
import type { Connection, Libp2p } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { lpStream } from '@libp2p/utils'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { deviceOf, libp2pKeyOf } from '../../../agent/mesh/device-peer.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import { HELLO_BYTES, HELLO_PROTOCOL, parseGreeting } from '../../../protocol/hello.ts'
import type { HelloConnection } from '../../../protocol/hello-exchange.ts'
import type { DeviceKeyPair } from '../../../protocol/keys.ts'

/** What the stranger knows of the connection, and how it speaks. */
export interface Speech {
  readonly hello: HelloConnection
  /** Nonce of the other side: waits for its greeting. */
  theirNonce(): Promise<Uint8Array>
  /** With a length in front. */
  say(frame: Uint8Array): Promise<void>
  /** As it is. */
  sayRaw(bytes: Uint8Array): void
}

export interface Stranger extends AsyncDisposable {
  readonly node: Libp2p
  /** Dials, speaks, and resolves to the milliseconds until it was thrown out. */
  intrude(address: string, speak: (speech: Speech) => Promise<void>): Promise<number>
}

const NONCE = new Uint8Array(16).fill(9)

export async function startStranger(key: DeviceKeyPair): Promise<Stranger> {
  const node = await createLibp2p({
    privateKey: libp2pKeyOf(key),
    addresses: { listen: [] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false },
  })
  await node.handle(HELLO_PROTOCOL, () => undefined)
  return {
    node,
    intrude: async (address, speak) => {
      const start = performance.now()
      const connection = await node.dial(multiaddr(address), { force: true })
      const closed = closing(connection)
      await speak(await speechOn(node, connection)).catch(() => undefined)
      await closed
      return performance.now() - start
    },
    [Symbol.asyncDispose]: async () => node.stop(),
  }
}

async function closing(connection: Connection): Promise<void> {
  if (connection.status !== 'open') return
  await new Promise<void>((resolve) => {
    connection.addEventListener('close', () => resolve())
  })
}

async function speechOn(node: Libp2p, connection: Connection): Promise<Speech> {
  const stream = await connection.newStream(HELLO_PROTOCOL, { runOnLimitedConnection: true })
  const frames = lpStream(stream, { maxDataLength: HELLO_BYTES })
  const signal = AbortSignal.timeout(2000)
  return {
    hello: {
      ours: node.peerId.toString(),
      theirs: connection.remotePeer.toString(),
      peerDevice: deviceOf(connection.remotePeer),
      nonce: NONCE,
      now: () => systemClock.now(),
    },
    theirNonce: async () => parseGreeting((await frames.read({ signal })).subarray()).nonce,
    say: async (frame) => frames.write(frame, { signal }),
    sayRaw: (bytes) => {
      stream.send(bytes)
    },
  }
}
