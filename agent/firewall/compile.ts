/** Compile: from policy and members to what a packet is looked up in: the other end's address gives a class, the class
 *  what it may do. Decides as `decide` does, for every address at once. Pure. */
import type { AddressFamily } from '../../protocol/address.ts'
import { lastAddress } from '../../protocol/address-range.ts'
import {
  isDeviceOf,
  isForAnybody,
  type NumberedRule,
  type PolicyDevice,
  PROTOCOL_NUMBERS,
  reachOf,
  rulesOf,
} from '../../protocol/policy-decision.ts'
import { type Holders, holders, type PolicyMember } from '../../protocol/policy-holders.ts'
import type { Direction, PolicyRules, PortRange } from '../../protocol/policy-rules.ts'

/** What the flows of a class may be, in one family. */
export interface Allowance {
  /** IANA numbers that pass whatever their ports; `all`: every protocol. */
  readonly protocols: readonly number[] | 'all'
  /** In order and apart; none where the protocol passes as a whole. */
  readonly tcp: readonly PortRange[]
  readonly udp: readonly PortRange[]
}

/** Addresses of one class. */
export interface ClassRange {
  readonly first: bigint
  readonly last: bigint
  /** Index into `classes`. */
  readonly class: number
}

/** `default`: the device has no rules of the direction. */
export type CompiledDirection =
  | { readonly kind: 'default'; readonly verdict: 'accept' | 'deny' }
  | {
      readonly kind: 'classes'
      readonly classes: readonly Allowance[]
      /** In order and apart, none beside another of its class. An address in none is denied. */
      readonly ranges: Readonly<Record<AddressFamily, readonly ClassRange[]>>
    }

export type CompiledPolicy = Readonly<Record<Direction, CompiledDirection>>

/** For the device whose rules they are. */
export function compilePolicy(
  policy: PolicyRules,
  device: PolicyDevice,
  peers: readonly PolicyMember[],
): CompiledPolicy {
  const table = holders(peers)
  return {
    inbound: compileDirection(policy, device, table, 'inbound'),
    outbound: compileDirection(policy, device, table, 'outbound'),
  }
}

function compileDirection(
  policy: PolicyRules,
  device: PolicyDevice,
  table: Holders<PolicyMember>,
  direction: Direction,
): CompiledDirection {
  const rules = rulesOf(policy, device, direction)
  if (rules.length === 0) return { kind: 'default', verdict: policy.defaults[direction] }
  const classes = new Classes(rules)
  return {
    kind: 'classes',
    ranges: { 4: classRanges(rules, table, classes, 4), 6: classRanges(rules, table, classes, 6) },
    classes: classes.list,
  }
}

/** Sets of rules that allow the same are one class. */
class Classes {
  readonly list: Allowance[] = []
  readonly #rules: readonly NumberedRule[]
  readonly #byMask = new Map<string, number | undefined>()
  readonly #byText = new Map<string, number>()

  constructor(rules: readonly NumberedRule[]) {
    this.#rules = rules
  }

  /** Undefined where they allow nothing. @param mask a bit for each rule */
  of(family: AddressFamily, mask: bigint): number | undefined {
    const key = `${family} ${mask}`
    if (!this.#byMask.has(key)) this.#byMask.set(key, this.#make(family, mask))
    return this.#byMask.get(key)
  }

  #make(family: AddressFamily, mask: bigint): number | undefined {
    const allowance = allowanceOf(
      this.#rules.filter((_, index) => ((mask >> BigInt(index)) & 1n) === 1n),
      family,
    )
    const { protocols, tcp, udp } = allowance
    if (protocols !== 'all' && protocols.length + tcp.length + udp.length === 0) return undefined
    const text = JSON.stringify(allowance)
    const known = this.#byText.get(text)
    if (known !== undefined) return known
    this.#byText.set(text, this.list.length)
    return this.list.push(allowance) - 1
  }
}

function allowanceOf(rules: readonly NumberedRule[], family: AddressFamily): Allowance {
  const whole = new Set<number>()
  const ports = { tcp: [] as PortRange[], udp: [] as PortRange[] }
  for (const { rule } of rules) {
    const { families, protocols } = reachOf(rule)
    if (!families.includes(family)) continue
    if (protocols === 'any') return { protocols: 'all', tcp: [], udp: [] }
    for (const protocol of protocols) {
      if (rule.ports === undefined) whole.add(protocol)
      else ports[protocol === PROTOCOL_NUMBERS.tcp ? 'tcp' : 'udp'].push(rule.ports)
    }
  }
  return {
    protocols: [...whole].toSorted((a, b) => a - b),
    tcp: whole.has(PROTOCOL_NUMBERS.tcp) ? [] : merged(ports.tcp),
    udp: whole.has(PROTOCOL_NUMBERS.udp) ? [] : merged(ports.udp),
  }
}

function merged(ports: readonly PortRange[]): readonly PortRange[] {
  const done: PortRange[] = []
  for (const { from, to } of ports.toSorted((a, b) => a.from - b.from)) {
    const last = done.at(-1)
    if (last === undefined || from > last.to + 1) done.push({ from, to })
    else if (to > last.to) done[done.length - 1] = { from: last.from, to }
  }
  return done
}

/** Where rules begin or cease to name an address, by a range or by its holder. */
interface Edge {
  readonly at: bigint
  /** Places of the rules. */
  readonly rules: readonly number[]
  /** 1: they begin; −1: they cease. */
  readonly step: 1 | -1
}

/** Sweeps over all addresses of the family. */
function classRanges(
  rules: readonly NumberedRule[],
  table: Holders<PolicyMember>,
  classes: Classes,
  family: AddressFamily,
): readonly ClassRange[] {
  const edges = [...rangeEdges(rules, family), ...holderEdges(rules, table, family)].toSorted(
    (a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0),
  )
  const counts = rules.map(({ rule }) => (isForAnybody(rule) ? 1 : 0))
  let mask = counts.reduce((bits, count, index) => bits | (BigInt(count) << BigInt(index)), 0n)
  const found: ClassRange[] = []
  let first = 0n
  const upTo = (last: bigint): void => {
    const index = last < first ? undefined : classes.of(family, mask)
    const before = found.at(-1)
    if (index !== undefined && before?.class === index && before.last === first - 1n) {
      found[found.length - 1] = { ...before, last }
    } else if (index !== undefined) found.push({ first, last, class: index })
    first = last + 1n
  }
  for (const edge of edges) {
    if (edge.at > first) upTo(edge.at - 1n)
    mask = stepped(mask, counts, edge)
  }
  upTo(lastAddress(family))
  return found
}

/** Ranges of one rule may overlap: its bit stays while any of them lasts. */
function stepped(mask: bigint, counts: number[], { rules, step }: Edge): bigint {
  let next = mask
  for (const index of rules) {
    const count = (counts[index] ?? 0) + step
    counts[index] = count
    const hasChanged = count === 0 || (count === 1 && step === 1)
    if (hasChanged) next ^= 1n << BigInt(index)
  }
  return next
}

function rangeEdges(rules: readonly NumberedRule[], family: AddressFamily): readonly Edge[] {
  return rules.flatMap(({ rule }, index) =>
    rule.ranges
      .filter((range) => range.family === family)
      .flatMap(({ first, last }) => edgesOf(first, last, [index])),
  )
}

function holderEdges(
  rules: readonly NumberedRule[],
  table: Holders<PolicyMember>,
  family: AddressFamily,
): readonly Edge[] {
  const known = new Map<PolicyMember, readonly number[]>()
  return table.of(family).flatMap(({ first, last, holder }) => {
    const named = known.get(holder) ?? rulesNaming(rules, holder)
    known.set(holder, named)
    return named.length === 0 ? [] : edgesOf(first, last, named)
  })
}

function rulesNaming(rules: readonly NumberedRule[], device: PolicyDevice): readonly number[] {
  return rules.flatMap(({ rule }, index) => (isDeviceOf(rule, device) ? [index] : []))
}

function edgesOf(first: bigint, last: bigint, rules: readonly number[]): readonly Edge[] {
  return [
    { at: first, rules, step: 1 },
    { at: last + 1n, rules, step: -1 },
  ]
}
