/** NAT-PMP messages (RFC 6886): the two requests that we send, and what a gateway says. */
import { addressFromBytes, type IpAddress } from '../../../protocol/address.ts'
import { MalformedError } from '../../../protocol/errors.ts'
import { type Seconds, seconds } from '../../../protocol/time.ts'

const VERSION = 0
const [ADDRESS, MAP_UDP, RESPONSE] = [0, 1, 0x80]
/** Bytes (§3.2, §3.3): of any response, of one about the address, of one about a mapping. */
const [ERROR_BYTES, ADDRESS_BYTES, MAP_BYTES] = [8, 12, 16]
/** As PCP's, whose port it shares. */
const MESSAGE_BYTES = 1100

/** §3.5, by number. */
const RESULTS = [
  'success',
  'unsupported version',
  'not authorized',
  'network failure',
  'out of resources',
  'unsupported opcode',
] as const

export interface NatPmpMap {
  readonly internalPort: number
  readonly externalPort: number
  readonly lifetime: Seconds
}

export type NatPmpResponse =
  | { readonly kind: 'other-version'; readonly version: number }
  | { readonly kind: 'address'; readonly epoch: Seconds; readonly address: IpAddress }
  | ({ readonly kind: 'map'; readonly epoch: Seconds } & NatPmpMap)
  | {
      readonly kind: 'error'
      readonly about: 'address' | 'map'
      readonly result: string
      readonly epoch: Seconds
    }

/** §3.2. */
export const NAT_PMP_ADDRESS_REQUEST: Uint8Array = Uint8Array.of(VERSION, ADDRESS)

/** §3.3: with a lifetime of 0, and external port 0, it deletes (§3.4). */
export function encodeNatPmpMapRequest(map: NatPmpMap): Uint8Array {
  const view = new DataView(new ArrayBuffer(12))
  view.setUint8(0, VERSION)
  view.setUint8(1, MAP_UDP)
  view.setUint16(4, map.internalPort)
  view.setUint16(6, map.externalPort)
  view.setUint32(8, map.lifetime)
  return new Uint8Array(view.buffer)
}

/** Throws MalformedError on what is no response of a gateway, or is to another opcode. */
export function parseNatPmpResponse(bytes: Uint8Array): NatPmpResponse {
  const version = bytes[0]
  if (version === undefined || bytes.length > MESSAGE_BYTES) {
    throw new MalformedError(
      `NAT-PMP response of ${bytes.length} bytes, want 1 to ${MESSAGE_BYTES}`,
    )
  }
  if (version !== VERSION) return { kind: 'other-version', version }
  requireBytes(bytes, ERROR_BYTES)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const opcode = view.getUint8(1) - RESPONSE
  if (opcode !== ADDRESS && opcode !== MAP_UDP) {
    throw new MalformedError(`NAT-PMP response: opcode byte is ${view.getUint8(1)}`)
  }
  const [number, epoch] = [view.getUint16(2), seconds(view.getUint32(4))]
  if (number !== 0) {
    const about = opcode === ADDRESS ? 'address' : 'map'
    return { kind: 'error', about, result: RESULTS[number] ?? `result ${number}`, epoch }
  }
  requireBytes(bytes, opcode === ADDRESS ? ADDRESS_BYTES : MAP_BYTES)
  if (opcode === ADDRESS) {
    return { kind: 'address', epoch, address: addressFromBytes(bytes.slice(8, ADDRESS_BYTES)) }
  }
  return {
    kind: 'map',
    epoch,
    internalPort: view.getUint16(8),
    externalPort: view.getUint16(10),
    lifetime: seconds(view.getUint32(12)),
  }
}

function requireBytes(bytes: Uint8Array, least: number): void {
  if (bytes.length >= least) return
  throw new MalformedError(`NAT-PMP response of ${bytes.length} bytes, want ${least} or more`)
}
