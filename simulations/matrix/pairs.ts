/** Pairs of sites, and which of them can talk without a relay at all: pure. */
import { type BaseKind, featuresOf, parseSiteKind, type SiteKind } from '../lab/nat.ts'

/** Two hosts: each at a site of its own, or both at one. */
export interface Pair {
  /** `port+symm`; `samelan+port` or `sameiso+port-iso` for two hosts of one site. */
  readonly name: string
  readonly kinds: readonly [SiteKind, SiteKind]
  readonly isOneSite: boolean
}

const COMBINED: readonly SiteKind[] = [
  'public',
  'full',
  'addr',
  'port',
  'port-np',
  'symm',
  'cgnat',
  'udpblock',
]
const OTHERS = [
  'v6+v6',
  'v6+port',
  'v6dual+v6dual',
  'samelan+port',
  'sameiso+full-iso',
  'sameiso+port-iso',
  'sameiso+hairpin-iso',
  'cgsymm+port',
]

/** Throws where it names no pair. */
export function parsePair(name: string): Pair {
  const [first = '', second = '', ...more] = name.split('+')
  if (second === '' || more.length > 0)
    throw new Error(`pair "${name}": want two kinds of site, as port+symm`)
  const there = parseSiteKind(second)
  if (first !== 'samelan' && first !== 'sameiso')
    return { name, kinds: [parseSiteKind(first), there], isOneSite: false }
  const { base, isIsolated } = featuresOf(there)
  if (base === 'public' || base === 'fw') throw new Error(`pair "${name}": ${base} is one host`)
  if (isIsolated !== (first === 'sameiso'))
    throw new Error(`pair "${name}": sameiso is for isolated hosts (-iso), samelan for others`)
  return { name, kinds: [there, there], isOneSite: true }
}

/** Two of each of eight kinds, and what is left of the twelve: 44. */
export const REFERENCE_PAIRS: readonly Pair[] = [
  ...COMBINED.flatMap((a, index) => COMBINED.slice(index).map((b) => `${a}+${b}`)),
  ...OTHERS,
].map(parsePair)

interface Behaviour {
  /** The same external endpoint towards everybody. */
  readonly isIndependent: boolean
  /** Whose packets get in: everybody's, those of an address spoken to, or of an address and port. */
  readonly admits: 'all' | 'address' | 'port'
}

const INDEPENDENT = { isIndependent: true, admits: 'port' } as const
const OPEN = { isIndependent: true, admits: 'all' } as const
const DEPENDENT = { isIndependent: false, admits: 'port' } as const
/** RFC 4787 §4.1 and §5, over IPv4. */
const BEHAVIOURS: Readonly<Record<Exclude<BaseKind, 'udpblock' | 'v6'>, Behaviour>> = {
  public: OPEN,
  fw: INDEPENDENT,
  full: OPEN,
  addr: { isIndependent: true, admits: 'address' },
  port: INDEPENDENT,
  symm: DEPENDENT,
  cgnat: INDEPENDENT,
  cgsymm: DEPENDENT,
  hairpin: OPEN,
  v6dual: INDEPENDENT,
}

/** Is there a way for two hosts, each sending first to where the other is known to be, to reach each other
 *  without a relay? Guessing ports does not count. */
export function canBeDirect({ kinds: [a, b], isOneSite }: Pair): boolean {
  if (isOneSite) return !featuresOf(a).isIsolated || featuresOf(a).base === 'hairpin'
  const [one, other] = [featuresOf(a), featuresOf(b)]
  if (one.hasIpv6 && other.hasIpv6) return true
  return isDirectOverIpv4(one.base, other.base)
}

function isDirectOverIpv4(a: BaseKind, b: BaseKind): boolean {
  if (a === 'udpblock' || b === 'udpblock' || a === 'v6' || b === 'v6') return false
  const [one, other] = [BEHAVIOURS[a], BEHAVIOURS[b]]
  if (one.isIndependent && other.isIndependent) return true
  // The side whose port nobody can know reaches one that is known and asks only whence, if at all.
  if (other.isIndependent) return other.admits !== 'port'
  return one.isIndependent && one.admits !== 'port'
}
