/** Relay control: what a client and its relay say to each other, in frames whose relay address is all
 *  zeros (SPEC §12.3). */
import { concat, toHex } from '../crypto/bytes.ts'
import { MalformedError } from './errors.ts'
import type { RelayAddress, RelayFrame } from './relay.ts'

/** The address of the other end of the stream itself; the hash of no key that anybody has. */
export const CONTROL_ADDRESS: RelayAddress = '00'.repeat(9)
/** Bytes of tokens and challenges: not to be guessed while they count. */
export const TOKEN_BYTES = 8
export const SESSION_BYTES = 8
export const SESSION_KEY_BYTES = 32

/** How the client wants to be sent datagrams: by UDP, twice, or by the stream alone. */
export const UDP_USES = ['off', 'both', 'on'] as const
export type UdpUse = (typeof UDP_USES)[number]

export type RelayControl =
  /** "Are you there?" By UDP `echo` is the last challenge heard, zeros before the first. */
  | Ask
  /** The answer, by the way on which the ping came and as long as it. `challenge` proves the address. */
  | {
      readonly kind: 'pong'
      readonly token: Uint8Array
      readonly challenge: Uint8Array
      readonly length: number
    }
  /** From the relay: a UDP port, a session and its key. Port 0 takes back the session before. */
  | UdpOffer
  /** From the client. */
  | { readonly kind: 'udp-use'; readonly use: UdpUse }

export interface Ask {
  readonly kind: 'ping'
  readonly token: Uint8Array
  readonly echo: Uint8Array
  /** Bytes of the whole message; what is beyond its fields is zero. */
  readonly length: number
}

export interface UdpOffer {
  readonly kind: 'udp-offer'
  readonly port: number
  readonly session: Uint8Array
  readonly key: Uint8Array
}

const PING = 1
const PONG = 2
const UDP_OFFER = 3
const UDP_USE = 4
/** Bytes of a ping or pong without padding. */
export const PING_BYTES = 1 + 2 * TOKEN_BYTES
const OFFER_BYTES = 1 + 2 + SESSION_BYTES + SESSION_KEY_BYTES

export function controlFrame(control: RelayControl): RelayFrame {
  return { peer: CONTROL_ADDRESS, datagram: encodeControl(control) }
}

export function isControl({ peer, datagram }: RelayFrame): boolean {
  return peer === CONTROL_ADDRESS && datagram.length > 0
}

function encodeControl(control: RelayControl): Uint8Array {
  switch (control.kind) {
    case 'ping':
      return padded(concat(Uint8Array.of(PING), control.token, control.echo), control.length)
    case 'pong':
      return padded(concat(Uint8Array.of(PONG), control.token, control.challenge), control.length)
    case 'udp-offer': {
      const { port, session, key } = control
      return concat(Uint8Array.of(UDP_OFFER, port >> 8, port & 0xff), session, key)
    }
    case 'udp-use':
      return Uint8Array.of(UDP_USE, UDP_USES.indexOf(control.use))
    default:
      return control satisfies never
  }
}

function padded(message: Uint8Array, length: number): Uint8Array {
  return concat(message, new Uint8Array(Math.max(0, length - message.length)))
}

/** Undefined of a kind that a later version may have: it is ignored. Throws MalformedError. */
export function parseControl(datagram: Uint8Array): RelayControl | undefined {
  switch (datagram[0]) {
    case PING: {
      const [token, second] = tokens(datagram)
      return { kind: 'ping', token, echo: second, length: datagram.length }
    }
    case PONG: {
      const [token, second] = tokens(datagram)
      return { kind: 'pong', token, challenge: second, length: datagram.length }
    }
    case UDP_OFFER:
      return parseOffer(datagram)
    case UDP_USE: {
      const use = UDP_USES[datagram[1] ?? 255]
      if (use === undefined || datagram.length !== 2) throw malformed('use', datagram, 2)
      return { kind: 'udp-use', use }
    }
    default:
      return undefined
  }
}

/** As `parseControl`, of what came by UDP, where nothing can be ended: what is malformed is ignored too. */
export function parseUdpControl(datagram: Uint8Array): RelayControl | undefined {
  try {
    return parseControl(datagram)
  } catch (error) {
    if (error instanceof MalformedError) return undefined
    throw error
  }
}

function tokens(datagram: Uint8Array): [Uint8Array, Uint8Array] {
  if (datagram.length < PING_BYTES) throw malformed('ping or pong', datagram, PING_BYTES)
  return [datagram.slice(1, 1 + TOKEN_BYTES), datagram.slice(1 + TOKEN_BYTES, PING_BYTES)]
}

function parseOffer(datagram: Uint8Array): UdpOffer {
  if (datagram.length !== OFFER_BYTES) throw malformed('UDP offer', datagram, OFFER_BYTES)
  const [high = 0, low = 0] = datagram.subarray(1, 3)
  return {
    kind: 'udp-offer',
    port: high * 256 + low,
    session: datagram.slice(3, 3 + SESSION_BYTES),
    key: datagram.slice(3 + SESSION_BYTES),
  }
}

function malformed(what: string, datagram: Uint8Array, want: number): MalformedError {
  const head = toHex(datagram.subarray(0, 2))
  return new MalformedError(
    `relay control: ${what} ${head}… of ${datagram.length} bytes, want ${want}`,
  )
}
