/** WireGuard's netlink: changes of a device as the kernel takes them, and what it tells of one
 *  (linux/wireguard.h). Pure. */
import {
  type AgreementKeyPair,
  agreementKeyPairFromPrivate,
  parseAgreementPublicKey,
  privateBytesOf,
} from '../../crypto/agreement.ts'
import { concat, utf8 } from '../../crypto/bytes.ts'
import {
  addressBytes,
  addressFamily,
  addressFromBytes,
  type Endpoint,
  type Prefix,
  parsePrefix,
  prefixAddress,
  prefixLength,
} from '../../protocol/address.ts'
import { seconds } from '../../protocol/time.ts'
import {
  type Attribute,
  encodeAttribute,
  encodeNested,
  parseAttributes,
  viewOf,
} from '../host/netlink.ts'
import { sourcesOf, type TunnelPeer } from './backend.ts'
import type { DevicePeer, DeviceState } from './device.ts'
import { NOBODY, type PeerStep } from './diff.ts'

export const FAMILY = 'wireguard'
/** WG_CMD_… */
export const COMMAND = { get: 0, set: 1 }

const DEVICE = { name: 2, privateKey: 3, listenPort: 6, peers: 8 }
const PEER = {
  ...{ publicKey: 1, flags: 3, endpoint: 4, keepalive: 5 },
  ...{ handshake: 6, received: 7, sent: 8, allowedIps: 9 },
}
const ALLOWED_IP = { family: 1, address: 2, length: 3 }
/** WGPEER_F_… */
const [REMOVE, UPDATE_ONLY] = [1, 4]
/** AF_INET and AF_INET6. */
const [IPV4, IPV6] = [2, 10]
/** Of peers in one message, and allowed IPs of a peer: nested attributes hold 64 kB. */
const [MOST_PEERS_BYTES, MOST_ALLOWED_IPS] = [32_768, 512]

export function nameAttribute(interfaceName: string): Uint8Array {
  return encodeAttribute(DEVICE.name, utf8(`${interfaceName}\0`))
}

export function deviceAttributes(change: {
  readonly privateKey?: AgreementKeyPair
  readonly listenPort?: number
}): readonly Uint8Array[] {
  const { privateKey, listenPort } = change
  return [
    ...(privateKey === undefined
      ? []
      : [encodeAttribute(DEVICE.privateKey, privateBytesOf(privateKey))]),
    ...(listenPort === undefined ? [] : [encodeAttribute(DEVICE.listenPort, u16(listenPort))]),
  ]
}

/** One message's peers, or those of several in their order where they are too many. */
export function peersAttributes(peers: readonly Uint8Array[]): readonly Uint8Array[] {
  const messages: Uint8Array[][] = []
  let bytes = Number.POSITIVE_INFINITY
  for (const peer of peers) {
    bytes += peer.length
    if (bytes > MOST_PEERS_BYTES) {
      messages.push([])
      bytes = peer.length
    }
    messages.at(-1)?.push(peer)
  }
  return messages.map((each) => encodeNested(DEVICE.peers, each))
}

/** Adding an allowed IP takes it from its owner in the same act; WGPEER_F_REPLACE_ALLOWEDIPS, the only other way
 *  of `wg set`, would leave the peer for a moment without those it keeps. What is dropped moves to a peer that
 *  is nobody, which is removed with it. */
export function stepAttributes(step: PeerStep): readonly Uint8Array[] {
  switch (step.kind) {
    case 'set':
      return peerAttributes(step.publicKey, {
        ...step,
        flags: step.isNew ? 0 : UPDATE_ONLY,
        allowedIps: step.gained,
      })
    case 'drop':
      return [...peerAttributes(NOBODY, { flags: 0, allowedIps: step.dropped }), ...removal(NOBODY)]
    case 'late':
      return []
    case 'remove':
      return removal(step.publicKey)
  }
}

/** Removed and added. */
export function replacement(peer: TunnelPeer): readonly Uint8Array[] {
  const change = { ...peer, flags: 0, allowedIps: sourcesOf(peer) }
  return [...removal(peer.publicKey), ...peerAttributes(peer.publicKey, change)]
}

/** Of a peer that exists; of one that does not, nothing. */
export function update(
  publicKey: Uint8Array,
  change: Partial<Pick<TunnelPeer, 'endpoint' | 'persistentKeepalive'>>,
): readonly Uint8Array[] {
  return peerAttributes(publicKey, { ...change, flags: UPDATE_ONLY, allowedIps: [] })
}

function removal(publicKey: Uint8Array): readonly Uint8Array[] {
  return peerAttributes(publicKey, { flags: REMOVE, allowedIps: [] })
}

function peerAttributes(
  publicKey: Uint8Array,
  change: Partial<Pick<TunnelPeer, 'endpoint' | 'persistentKeepalive'>> & {
    readonly flags: number
    readonly allowedIps: readonly Prefix[]
  },
): readonly Uint8Array[] {
  const { endpoint, persistentKeepalive, flags, allowedIps } = change
  const first = allowedIps.slice(0, MOST_ALLOWED_IPS)
  const peer = encodeNested(0, [
    encodeAttribute(PEER.publicKey, publicKey),
    encodeAttribute(PEER.flags, u32(flags)),
    ...(endpoint === undefined ? [] : [encodeAttribute(PEER.endpoint, socketAddress(endpoint))]),
    ...(persistentKeepalive === undefined
      ? []
      : [encodeAttribute(PEER.keepalive, u16(persistentKeepalive))]),
    ...(first.length === 0 ? [] : [encodeNested(PEER.allowedIps, first.map(allowedIpAttribute))]),
  ])
  const rest = allowedIps.slice(MOST_ALLOWED_IPS)
  if (rest.length === 0) return [peer]
  return [peer, ...peerAttributes(publicKey, { flags: UPDATE_ONLY, allowedIps: rest })]
}

function allowedIpAttribute(prefix: Prefix): Uint8Array {
  return encodeNested(0, [
    encodeAttribute(ALLOWED_IP.family, u16(addressFamily(prefix) === 4 ? IPV4 : IPV6)),
    encodeAttribute(ALLOWED_IP.address, addressBytes(prefixAddress(prefix))),
    encodeAttribute(ALLOWED_IP.length, Uint8Array.of(prefixLength(prefix))),
  ])
}

/** `struct sockaddr_in` and `struct sockaddr_in6`. */
function socketAddress({ address, port }: Endpoint): Uint8Array {
  const bytes = addressBytes(address)
  const start = Buffer.alloc(bytes.length === 4 ? 4 : 8)
  start.writeUInt16LE(bytes.length === 4 ? IPV4 : IPV6, 0)
  start.writeUInt16BE(port, 2)
  return concat(start, bytes, new Uint8Array(bytes.length === 4 ? 8 : 4))
}

function u16(value: number): Uint8Array {
  return Uint8Array.of(value & 0xff, value >> 8)
}

function u32(value: number): Uint8Array {
  return Uint8Array.of(value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, value >>> 24)
}

/** What a dump tells; a peer whose allowed IPs fill more than a message goes on in the next.
 *  Throws MalformedError or KeyError. */
export function parseDevice(messages: readonly (readonly Attribute[])[]): DeviceState {
  const peers: DevicePeer[] = []
  let privateKey: AgreementKeyPair | undefined
  let listenPort = 0
  for (const { type, value } of messages.flat()) {
    if (type === DEVICE.privateKey && value.some((byte) => byte !== 0)) {
      privateKey = agreementKeyPairFromPrivate(value)
    } else if (type === DEVICE.listenPort) listenPort = viewOf(value).getUint16(0, true)
    else if (type === DEVICE.peers) {
      for (const each of parseAttributes(value)) addPeer(peers, parsePeer(each.value))
    }
  }
  return { ...(privateKey !== undefined && { privateKey }), listenPort, peers }
}

function addPeer(peers: DevicePeer[], { publicKey, ...peer }: DevicePeer): void {
  const last = peers.at(-1)
  if (last === undefined || Buffer.compare(last.publicKey, publicKey) !== 0) {
    peers.push({ publicKey, ...peer })
  } else peers.splice(-1, 1, { ...last, allowedIps: [...last.allowedIps, ...peer.allowedIps] })
}

function parsePeer(bytes: Uint8Array): DevicePeer {
  const fields = new Map(parseAttributes(bytes).map(({ type, value }) => [type, value]))
  const field = (type: number): Uint8Array => fields.get(type) ?? new Uint8Array(8)
  const number = (type: number): number => Number(viewOf(field(type)).getBigUint64(0, true))
  const endpoint = fields.get(PEER.endpoint)
  return {
    publicKey: parseAgreementPublicKey(field(PEER.publicKey)),
    ...(endpoint !== undefined && { endpoint: parseSocketAddress(endpoint) }),
    allowedIps: parseAttributes(fields.get(PEER.allowedIps) ?? new Uint8Array()).map(({ value }) =>
      parseAllowedIp(value),
    ),
    latestHandshake: seconds(number(PEER.handshake)),
    receivedBytes: number(PEER.received),
    sentBytes: number(PEER.sent),
    persistentKeepalive: viewOf(field(PEER.keepalive)).getUint16(0, true),
  }
}

function parseSocketAddress(bytes: Uint8Array): Endpoint {
  const view = viewOf(bytes)
  const isIpv4 = view.getUint16(0, true) === IPV4
  return {
    address: addressFromBytes(isIpv4 ? bytes.subarray(4, 8) : bytes.subarray(8, 24)),
    port: view.getUint16(2),
  }
}

function parseAllowedIp(bytes: Uint8Array): Prefix {
  const fields = new Map(parseAttributes(bytes).map(({ type, value }) => [type, value]))
  const address = addressFromBytes(fields.get(ALLOWED_IP.address) ?? new Uint8Array())
  return parsePrefix(`${address}/${fields.get(ALLOWED_IP.length)?.[0] ?? ''}`)
}
