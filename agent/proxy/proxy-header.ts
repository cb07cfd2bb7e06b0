/** Proxy header: tells a backend who is really calling (PROXY protocol, version 2, by Willy Tarreau, §2.2). */
import { addressBytes, addressFamily, type Endpoint } from '../../protocol/address.ts'

const SIGNATURE = Uint8Array.of(13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10)
/** Version 2, command PROXY. */
const COMMAND = 0x21
/** TCP over IPv4, and over IPv6. */
const TCP = { 4: 0x11, 6: 0x21 } as const
/** TLVs for the use of applications (§2.2.8): the name of the source's device, and its address as text. */
export const PROXY_TLV = { deviceName: 0xe0, address: 0xe1 } as const

/** Of a TCP connection; both ends of one family. @param deviceName absent where it is not known */
export function encodeProxyHeader(
  source: Endpoint,
  destination: Endpoint,
  deviceName?: string,
): Uint8Array {
  const ports = Buffer.alloc(4)
  ports.writeUInt16BE(source.port, 0)
  ports.writeUInt16BE(destination.port, 2)
  const body = Buffer.concat([
    addressBytes(source.address),
    addressBytes(destination.address),
    ports,
    ...(deviceName === undefined ? [] : [tlv(PROXY_TLV.deviceName, deviceName)]),
    tlv(PROXY_TLV.address, source.address),
  ])
  const head = Buffer.from([...SIGNATURE, COMMAND, TCP[addressFamily(source.address)], 0, 0])
  head.writeUInt16BE(body.length, 14)
  return Buffer.concat([head, body])
}

function tlv(type: number, text: string): Uint8Array {
  const value = Buffer.from(text)
  const head = Buffer.from([type, 0, 0])
  head.writeUInt16BE(value.length, 1)
  return Buffer.concat([head, value])
}
