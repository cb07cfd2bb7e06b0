/** A libp2p peer that says to a rendezvous exactly what a test wants said. */
import { noise } from '@chainsafe/libp2p-noise'
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { privateKeyFromRaw } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import type { Connection, Stream } from '@libp2p/interface'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { lpStream } from '@libp2p/utils'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { concat } from '../../crypto/bytes.ts'
import { randomBytes } from '../../crypto/random.ts'
import { seedOf } from '../../crypto/signing.ts'
import { type Envelope, openEnvelope } from '../../protocol/envelope.ts'
import type { FrameChannel } from '../../protocol/frame-channel.ts'
import { encodeGreeting, HELLO_PROTOCOL, parseGreeting, proveHello } from '../../protocol/hello.ts'
import { type HelloParty, offerHello } from '../../protocol/hello-exchange.ts'
import { type DeviceKeyPair, deviceIdOf, type OrganizationId } from '../../protocol/keys.ts'
import {
  encodeRelayFrame,
  parseRelayFrames,
  RELAY_PROTOCOL,
  type RelayAddress,
  type RelayFrame,
  relayAddressOf,
} from '../../protocol/relay.ts'
import { apply, emptyState, type OrganizationState } from '../../protocol/state.ts'
import { syncable } from '../../protocol/sync.ts'
import { answerSync, offerSync } from '../../protocol/sync-exchange.ts'
import { systemClock } from '../../registry/system-clock.ts'

const SYNC_PROTOCOL = '/nexodus/sync/1'

export function channelOf(stream: Stream, maxDataLength = 65_536): FrameChannel {
  const signal = AbortSignal.timeout(5000)
  const frames = lpStream(stream, { maxDataLength })
  return {
    read: async () => (await frames.read({ signal })).subarray(),
    write: async (frame) => {
      await frames.write(frame, { signal })
    },
  }
}

export type RendezvousPeer = Awaited<ReturnType<typeof startPeer>>

/** @param envelopes what it believes at first: as a rule what the registry issued */
export async function startPeer(
  key: DeviceKeyPair,
  organization: OrganizationId,
  envelopes: readonly Uint8Array[],
) {
  const node = await createLibp2p({
    privateKey: privateKeyFromRaw(concat(seedOf(key), key.publicKey)),
    addresses: { listen: [] },
    transports: [tcp(), circuitRelayTransport()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false },
    connectionGater: { denyDialMultiaddr: () => false },
    services: { identify: identify(), ping: ping() },
  })
  let state: OrganizationState = emptyState(organization)
  const now = () => systemClock.now()
  const device = deviceIdOf(key.publicKey)
  const hear = (envelope: Envelope) => {
    state = apply(state, envelope, now()).state
  }
  for (const bytes of envelopes) hear(openEnvelope(bytes))
  const syncParty = { syncable: () => syncable(state, now()), receive: hear }
  await node.handle(SYNC_PROTOCOL, (stream) => {
    answerSync(channelOf(stream), syncParty)
      .then(() => stream.close())
      .catch((error: unknown) => stream.abort(error as Error))
  })
  const party: HelloParty = {
    organization,
    key,
    device,
    state: () => state,
    learn: (learned) => {
      state = learned
    },
  }
  return {
    node,
    device,
    peerId: node.peerId.toString(),
    state: () => state,
    hear: (bytes: Uint8Array) => hear(openEnvelope(bytes)),
    /** Dials and says nothing. */
    dial: (address: string): Promise<Connection> => node.dial(multiaddr(address)),
    /** Says hello as `as`, or as itself; the verdict on the registry. */
    async greet(connection: Connection, as: HelloParty = party) {
      const stream = await connection.newStream(HELLO_PROTOCOL)
      const verdict = await offerHello(
        channelOf(stream, 8192),
        {
          ours: node.peerId.toString(),
          theirs: connection.remotePeer.toString(),
          peerDevice: undefined,
          nonce: randomBytes(16),
          now,
        },
        as,
      )
      await stream.close()
      return verdict
    },
    /** Says hello with these envelopes in the greeting, whatever they are; then waits for the end. */
    async greetWith(connection: Connection, shown: readonly Uint8Array[]): Promise<void> {
      const channel = channelOf(await connection.newStream(HELLO_PROTOCOL), 8192)
      const nonce = randomBytes(16)
      await channel.write(encodeGreeting({ version: 1, organization, nonce, envelopes: shown }))
      const theirs = parseGreeting(await channel.read())
      const peers = { ours: node.peerId.toString(), theirs: connection.remotePeer.toString() }
      await channel.write(proveHello(organization, key, peers, theirs.nonce, now()))
      await channel.read()
    },
    /** Dials and is admitted, or throws. */
    async join(address: string): Promise<Connection> {
      const connection = await this.dial(address)
      const verdict = await this.greet(connection)
      if (!verdict.ok || verdict.who.kind !== 'registry') throw new Error('registry refused')
      return connection
    },
    async sync(connection: Connection, pushed: readonly Uint8Array[] = []): Promise<void> {
      const stream = await connection.newStream(SYNC_PROTOCOL)
      await offerSync(channelOf(stream), syncParty, pushed.map(openEnvelope))
      await stream.close()
    },
    relay: (connection: Connection) => openRelay(connection),
    address: relayAddressOf(device),
    [Symbol.asyncDispose]: async () => {
      await node.stop()
    },
  }
}

async function openRelay(connection: Connection) {
  const stream = await connection.newStream(RELAY_PROTOCOL)
  const received: RelayFrame[] = []
  let rest: Uint8Array = new Uint8Array(0)
  stream.addEventListener('message', ({ data }) => {
    const parsed = parseRelayFrames(concat(rest, data.subarray()))
    rest = parsed.rest.slice()
    received.push(
      ...parsed.frames.map(({ peer, datagram }) => ({ peer, datagram: datagram.slice() })),
    )
  })
  return {
    stream,
    received,
    send: (peer: RelayAddress, datagram: Uint8Array) =>
      stream.send(encodeRelayFrame({ peer, datagram })),
  }
}

/** Waits until it holds, at most `limitMs`; throws then. */
export async function until(what: string, holds: () => boolean, limitMs = 3000): Promise<number> {
  const began = performance.now()
  while (!holds()) {
    if (performance.now() - began > limitMs) throw new Error(`not within ${limitMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  return performance.now() - began
}
