/** Policy holders: whose an address is. The longest prefix decides, as in WireGuard's allowed IPs. */
import type { AddressFamily, IpAddress, Prefix } from './address.ts'
import { addressFamily } from './address.ts'
import { type AddressRange, addressNumber, prefixRange, rangeAt } from './address-range.ts'
import type { PolicyDevice } from './policy-decision.ts'

/** A device as the policy sees it. */
export interface PolicyMember extends PolicyDevice {
  /** Its addresses, and the prefixes that it holds. */
  readonly prefixes: readonly Prefix[]
}

/** Addresses whose packets are one device's. */
export interface Holding<T> extends AddressRange {
  readonly holder: T
}

export interface Holders<T> {
  /** In order, none overlapping another. */
  of(family: AddressFamily): readonly Holding<T>[]
  /** Undefined: nobody's. */
  find(address: IpAddress): T | undefined
}

/** Of a prefix that two name, the first has it. */
export function holders<T extends { readonly prefixes: readonly Prefix[] }>(
  members: Iterable<T>,
): Holders<T> {
  const taken = new Map<Prefix, T>()
  for (const member of members) {
    for (const prefix of member.prefixes) if (!taken.has(prefix)) taken.set(prefix, member)
  }
  const all = [...taken].map(([prefix, holder]) => ({ ...prefixRange(prefix), holder }))
  const byFamily = {
    4: flattened(all.filter(({ family }) => family === 4)),
    6: flattened(all.filter(({ family }) => family === 6)),
  }
  return {
    of: (family) => byFamily[family],
    find: (address) => rangeAt(byFamily[addressFamily(address)], addressNumber(address))?.holder,
  }
}

/** Prefixes lie inside each other or apart: what an inner one has is not the outer one's. */
function flattened<T>(prefixes: Holding<T>[]): readonly Holding<T>[] {
  const sorted = prefixes.toSorted((a, b) =>
    a.first === b.first ? compare(b.last, a.last) : compare(a.first, b.first),
  )
  const done: Holding<T>[] = []
  const open: Holding<T>[] = []
  let next = 0n
  const close = (before: bigint): void => {
    for (let top = open.at(-1); top !== undefined && top.last < before; top = open.at(-1)) {
      if (next <= top.last) done.push({ ...top, first: next })
      next = top.last + 1n
      open.pop()
    }
  }
  for (const each of sorted) {
    close(each.first)
    const around = open.at(-1)
    if (around !== undefined && next < each.first) {
      done.push({ ...around, first: next, last: each.first - 1n })
    }
    next = each.first
    open.push(each)
  }
  close(1n << 129n)
  return done
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0
}
