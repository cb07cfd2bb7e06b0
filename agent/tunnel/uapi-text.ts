/** The text of the UAPI: changes as lines, and lines as a device's state. Pure. */
import {
  type AgreementKeyPair,
  agreementKeyPairFromPrivate,
  parseAgreementPublicKey,
  privateBytesOf,
} from '../../crypto/agreement.ts'
import { fromHex, toHex } from '../../crypto/bytes.ts'
import {
  type Endpoint,
  formatEndpoint,
  type Prefix,
  parseEndpoint,
  parsePrefix,
} from '../../protocol/address.ts'
import { seconds } from '../../protocol/time.ts'
import { sourcesOf, type TunnelPeer } from './backend.ts'
import type { DevicePeer, DeviceState } from './device.ts'
import { NOBODY, type PeerStep, type WireGuardChange } from './diff.ts'

export function changeLines({ privateKey, listenPort, peers }: WireGuardChange): readonly string[] {
  return [
    ...(privateKey === undefined ? [] : [`private_key=${toHex(privateBytesOf(privateKey))}`]),
    ...(listenPort === undefined ? [] : [`listen_port=${listenPort}`]),
    ...peers.flatMap(stepLines),
  ]
}

/** `update_only` keeps a peer that was removed meanwhile from coming back. */
export function updateLines(
  publicKey: Uint8Array,
  change: { readonly endpoint?: Endpoint; readonly persistentKeepalive?: number },
): readonly string[] {
  return [`public_key=${toHex(publicKey)}`, 'update_only=true', ...settingLines(change)]
}

export function replaceLines(peer: TunnelPeer): readonly string[] {
  const key = `public_key=${toHex(peer.publicKey)}`
  return [key, 'remove=true', key, ...settingLines(peer), ...sourcesOf(peer).map(allowedIpLine)]
}

/** Adding an allowed IP takes it from its owner in the same act. The protocol has no line that takes one
 *  away: `replace_allowed_ips` would leave the peer for a moment without those it keeps. So what is dropped
 *  moves to a peer that is nobody, which is removed in the same operation. */
function stepLines(step: PeerStep): readonly string[] {
  switch (step.kind) {
    case 'set':
      return [
        `public_key=${toHex(step.publicKey)}`,
        ...(step.isNew ? [] : ['update_only=true']),
        ...settingLines(step),
        ...step.gained.map(allowedIpLine),
      ]
    case 'drop':
      return [
        `public_key=${toHex(NOBODY)}`,
        ...step.dropped.map(allowedIpLine),
        `public_key=${toHex(NOBODY)}`,
        'remove=true',
      ]
    case 'late':
      return []
    case 'remove':
      return [`public_key=${toHex(step.publicKey)}`, 'remove=true']
  }
}

function settingLines(change: {
  readonly endpoint?: Endpoint
  readonly persistentKeepalive?: number
}): readonly string[] {
  const { endpoint, persistentKeepalive } = change
  return [
    ...(endpoint === undefined ? [] : [`endpoint=${formatEndpoint(endpoint)}`]),
    ...(persistentKeepalive === undefined
      ? []
      : [`persistent_keepalive_interval=${persistentKeepalive}`]),
  ]
}

function allowedIpLine(prefix: Prefix): string {
  return `allowed_ip=${prefix}`
}

/** What was read at the last look: WireGuard shows all of it each time, and little of it changes. */
export interface UapiMemory {
  /** The same object as the last time for the same text. */
  stateOf(text: string, read: () => DeviceState): DeviceState
  keyOf(hex: string): AgreementKeyPair
  /** The peer that this text tells of. */
  peerOf(text: string): DevicePeer
}

const NO_MEMORY: UapiMemory = { stateOf: (_text, read) => read(), keyOf: privateKeyOf, peerOf }

/** Deriving the public key costs more than all the rest, and then taking a thousand peers' lines apart. */
export function newUapiMemory(): UapiMemory {
  const keyOf = rememberedPrivateKey()
  let last: { readonly text: string; readonly state: DeviceState } | undefined
  let before: ReadonlyMap<string, DevicePeer> = new Map()
  let shown = new Map<string, DevicePeer>()
  return {
    stateOf: (text, read) => {
      if (last?.text === text) return last.state
      last = { text, state: read() }
      // What this look did not show is forgotten.
      before = shown
      shown = new Map()
      return last.state
    },
    keyOf,
    peerOf: (text) => {
      const peer = before.get(text) ?? peerOf(text)
      shown.set(text, peer)
      return peer
    },
  }
}

const PEER = 'public_key='

/** From the answer to `get=1`. Unknown keys are passed over: newer versions have more. Throws MalformedError,
 *  EncodingError or KeyError on values that are not what the protocol says. */
export function deviceStateOf(text: string, memory = NO_MEMORY): DeviceState {
  return memory.stateOf(text, () => {
    const [own = '', ...peers] = `\n${text}`.split(`\n${PEER}`)
    const device = new Map(pairsOf(own))
    const privateKey = device.get('private_key')
    return {
      ...(privateKey === undefined ? {} : { privateKey: memory.keyOf(privateKey) }),
      listenPort: Number(device.get('listen_port') ?? 0),
      peers: peers.map(memory.peerOf),
    }
  })
}

function privateKeyOf(hex: string): AgreementKeyPair {
  return agreementKeyPairFromPrivate(fromHex(hex))
}

/** As `privateKeyOf`, and remembers the last. */
function rememberedPrivateKey(): (hex: string) => AgreementKeyPair {
  let last: { readonly hex: string; readonly pair: AgreementKeyPair } | undefined
  return (hex) => {
    if (last?.hex !== hex) last = { hex, pair: privateKeyOf(hex) }
    return last.pair
  }
}

function pairsOf(text: string): readonly [string, string][] {
  return text.split('\n').map((line) => {
    const at = line.indexOf('=')
    return [line.slice(0, at), line.slice(at + 1)]
  })
}

/** @param text from behind the first line's `public_key=` on */
function peerOf(text: string): DevicePeer {
  const pairs = pairsOf(PEER + text)
  const values = new Map(pairs)
  const number = (key: string): number => Number(values.get(key) ?? 0)
  return {
    publicKey: parseAgreementPublicKey(fromHex(values.get('public_key') ?? '')),
    ...endpointOf(values.get('endpoint')),
    latestHandshake: seconds(number('last_handshake_time_sec')),
    receivedBytes: number('rx_bytes'),
    sentBytes: number('tx_bytes'),
    persistentKeepalive: number('persistent_keepalive_interval'),
    allowedIps: pairs.flatMap(([key, value]) => (key === 'allowed_ip' ? [parsePrefix(value)] : [])),
  }
}

/** A link-local endpoint has a zone (`[fe80::1%eth0]:51820`), which is no address of ours: left out. */
export function endpointOf(text: string | undefined): { readonly endpoint?: Endpoint } {
  return text === undefined || text.includes('%') ? {} : { endpoint: parseEndpoint(text) }
}
