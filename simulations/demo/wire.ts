/** Wire: what a tap (tap.ts) has seen leave a process. */
import { readFile } from 'node:fs/promises'

export interface Wire {
  /** WireGuard's; first those that carry data, then those of handshakes. */
  readonly data: number
  readonly handshakes: number
  /** Of STUN, relays and the like. */
  readonly others: number
  /** How many hold one of the texts as they are. */
  readonly readable: number
}

/** Bytes that the tap has written by now: where later datagrams begin. */
export async function tapped(path: string): Promise<number> {
  return (await readFile(path)).length
}

/** Of the datagrams behind the first `from` bytes. */
export async function readWire(
  path: string,
  from: number,
  texts: readonly string[],
): Promise<Wire> {
  return wireOf(datagramsOf((await readFile(path)).subarray(from)), texts)
}

export function wireOf(datagrams: readonly Uint8Array[], texts: readonly string[]): Wire {
  const types = datagrams.map(wireguardType)
  return {
    data: types.filter((type) => type === 4).length,
    handshakes: types.filter((type) => type !== undefined && type !== 4).length,
    others: types.filter((type) => type === undefined).length,
    readable: datagrams.filter((each) => texts.some((text) => Buffer.from(each).includes(text)))
      .length,
  }
}

/** A datagram that is not written in full yet is left out. */
export function datagramsOf(bytes: Buffer): readonly Buffer[] {
  const datagrams: Buffer[] = []
  for (let at = 0; at + 2 <= bytes.length; ) {
    const end = at + 2 + bytes.readUInt16BE(at)
    if (end <= bytes.length) datagrams.push(bytes.subarray(at + 2, end))
    at = end
  }
  return datagrams
}

/** WireGuard's whitepaper, §5.4: a type and three bytes of zero. */
function wireguardType([type = 0, ...rest]: Uint8Array): number | undefined {
  const isIt = type >= 1 && type <= 4 && rest.length >= 31 && rest.slice(0, 3).every((b) => b === 0)
  return isIt ? type : undefined
}
