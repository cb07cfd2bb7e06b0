import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Claim, FIRST, keyOf, shareOut } from '../../../agent/organizations/claims.ts'
import { type Prefix, parsePrefix, prefixesOverlap } from '../../../protocol/address.ts'
import { isInDomain } from '../../../protocol/domain-name.ts'

const prefix = (text: string): Claim => ({ kind: 'prefix', value: parsePrefix(text) })
const underlay = (text: string): Claim => ({ kind: 'underlay', value: parsePrefix(text) })
const domain = (value: string): Claim => ({ kind: 'domain', value })

const rule = suite('many claims of organizations on one host')

rule('are answered by the thousand', () => {
  const many = (second: number, kind: typeof prefix): readonly Claim[] =>
    Array.from({ length: 2000 }, (_, index) => kind(`10.${second}.${index >> 8}.${index & 255}/32`))
  const wanted = new Map([
    [FIRST, [...many(1, underlay), ...many(2, prefix)]],
    ['beta', [...many(1, prefix), ...many(3, prefix)]],
  ])
  const { held } = shareOut([], wanted)
  assert.is(held.filter(({ label }) => label === 'beta').length, 2000)
})

function isShared(a: Claim, b: Claim): boolean {
  if (a.kind === 'domain' || b.kind === 'domain')
    return a.kind === b.kind && (isInDomain(a.value, b.value) || isInDomain(b.value, a.value))
  return prefixesOverlap(a.value as Prefix, b.value as Prefix)
}

rule('of 500 random hosts never overlap', () => {
  let seed = 1
  const random = (below: number): number => {
    seed = (seed * 48_271) % 2_147_483_647
    return seed % below
  }
  const some = (): Claim =>
    random(5) === 0
      ? domain(['lan', 'b.lan', 'c.b.lan', 'corp', 'e.corp'][random(5)] ?? 'lan')
      : prefix(
          random(2) === 0
            ? `10.${random(4)}.0.0/16`
            : `10.${random(4)}.${random(4)}.${random(4)}/32`,
        )
  for (let host = 0; host < 500; host++) {
    let shares = shareOut([], new Map())
    const wants = (): readonly Claim[] => Array.from({ length: random(6) }, some)
    for (let step = 0; step < 4; step++) {
      const before = shares.held
      const wanted = new Map([FIRST, 'b', 'c'].map((label) => [label, wants()] as const))
      shares = shareOut(before, wanted)
      for (const a of shares.held)
        for (const b of shares.held) assert.not.ok(a.label !== b.label && isShared(a, b))
      // Who had it, and wants it still, has it.
      for (const each of before)
        if (wanted.get(each.label)?.some((claim) => keyOf(claim) === keyOf(each)))
          assert.ok(
            shares.held.some((now) => now.label === each.label && keyOf(now) === keyOf(each)),
          )
    }
  }
})

rule.run()
