/** Reverse names: of addresses and of ranges, below in-addr.arpa (RFC 1035 §3.5) and ip6.arpa (RFC 3596 §2.5). */
import {
  type AddressFamily,
  addressBytes,
  addressFamily,
  addressFromBytes,
  type IpAddress,
  type Prefix,
  prefixAddress,
  prefixLength,
} from '../../protocol/address.ts'
import type { DomainName } from '../../protocol/domain-name.ts'

const TOPS = { 4: 'in-addr.arpa', 6: 'ip6.arpa' } as const
/** Shorter ranges have no reverse zones of ours: too much in them is somebody else's. */
const SHORTEST = { 4: 8, 6: 16 } as const
/** Bits of one label. */
const LABEL_BITS = { 4: 8, 6: 4 } as const

export function reverseName(address: IpAddress): DomainName {
  const labels = labelsOf(address)
  return `${labels.toReversed().join('.')}.${TOPS[addressFamily(address)]}` as DomainName
}

/** The zones that make up the range: one, or as many as there are values of the label that the range's length cuts
 *  through, 128 for IPv4 and 8 for IPv6 at most. None of a range shorter than /8 (IPv6: /16). */
export function reverseZones(range: Prefix): readonly DomainName[] {
  const family = addressFamily(range)
  const bits = LABEL_BITS[family]
  const length = prefixLength(range)
  if (length < SHORTEST[family]) return []
  const count = Math.ceil(length / bits)
  const labels = labelsOf(prefixAddress(range)).slice(0, count)
  const [above, last] = [labels.slice(0, -1), labels.at(-1) ?? '0']
  const radix = family === 4 ? 10 : 16
  const first = Number.parseInt(last, radix)
  return Array.from({ length: 2 ** (count * bits - length) }, (_, index) => {
    const name = [...above, (first + index).toString(radix)].toReversed().join('.')
    return `${name}.${TOPS[family]}` as DomainName
  })
}

/** Bits of the longest prefix of a reverse domain; longer ones of IPv6 can be of mapped IPv4 addresses. */
const LONGEST = { 4: 32, 6: 80 } as const

/** The addresses whose reverse names are in the domain, or around it where a label of it is none of an address;
 *  undefined: no reverse names are. */
export function reversePrefix(domain: string): Prefix | undefined {
  for (const family of [4, 6] as const) {
    if (domain !== TOPS[family] && !domain.endsWith(`.${TOPS[family]}`)) continue
    const labels = domain.slice(0, -TOPS[family].length).split('.').toReversed().slice(1)
    return prefixOf(family, labels)
  }
  return undefined
}

/** @param labels the most significant first */
function prefixOf(family: AddressFamily, labels: readonly string[]): Prefix {
  const bits = LABEL_BITS[family]
  const pattern = family === 4 ? /^(?:0|[1-9]\d{0,2})$/ : /^[0-9a-f]$/
  const bytes = new Uint8Array(family === 4 ? 4 : 16)
  let length = 0
  for (const label of labels.slice(0, LONGEST[family] / bits)) {
    const value = Number.parseInt(label, family === 4 ? 10 : 16)
    if (!pattern.test(label) || value > 255) break
    const at = length >> 3
    bytes[at] = (bytes[at] ?? 0) | (value << (8 - bits - (length % 8)))
    length += bits
  }
  return `${addressFromBytes(bytes)}/${length}` as Prefix
}

/** The most significant first. */
function labelsOf(address: IpAddress): readonly string[] {
  const bytes = [...addressBytes(address)]
  if (addressFamily(address) === 4) return bytes.map(String)
  return bytes.flatMap((byte) => [(byte >> 4).toString(16), (byte & 15).toString(16)])
}
