import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  CLAIM_LIMITS,
  type Claim,
  FIRST,
  keyOf,
  shareOut,
} from '../../../agent/organizations/claims.ts'
import { parsePrefix } from '../../../protocol/address.ts'

const range = (text: string): Claim => ({ kind: 'range', value: parsePrefix(text) })
const prefix = (text: string): Claim => ({ kind: 'prefix', value: parsePrefix(text) })
const underlay = (text: string): Claim => ({ kind: 'underlay', value: parsePrefix(text) })
const domain = (value: string): Claim => ({ kind: 'domain', value })
const EXIT: Claim = { kind: 'exit', value: '' }
const ACME = [range('100.64.0.0/10'), range('fd11::/48'), domain('acme.nexodus')]
const BETA = [range('10.77.0.0/16'), range('fd22::/48'), domain('beta.nexodus')]

type Wants = Readonly<Record<string, readonly Claim[] | undefined>>

/** What each holds and is refused after it has wanted one thing after the other. */
function after(...steps: readonly Wants[]) {
  return afterAs(new Set(), ...steps)
}

/** @param mayBePublic labels of those that may carry addresses of the internet */
function afterAs(mayBePublic: ReadonlySet<string>, ...steps: readonly Wants[]) {
  let shares = shareOut([], new Map())
  for (const step of steps)
    shares = shareOut(shares.held, new Map(Object.entries(step)), mayBePublic)
  const of = (label: string): readonly string[] =>
    shares.held.filter((each) => each.label === label).map(keyOf)
  const refused = (label: string): readonly string[] =>
    (shares.refused.get(label) ?? []).map(({ value, by, over }) => `${value} ${by ?? '-'} ${over}`)
  return { of, refused }
}

const rule = suite('claims of organizations on one host')

rule('are all granted where they are disjoint', () => {
  const { of, refused } = after({ [FIRST]: ACME, beta: BETA })
  assert.equal([of(FIRST), of('beta')], [ACME.map(keyOf), BETA.map(keyOf)])
  assert.equal([refused(FIRST), refused('beta')], [[], []])
})

rule('are the first one’s where both come at once', () => {
  const { of, refused } = after({
    [FIRST]: [...ACME, prefix('192.168.7.0/24')],
    beta: [...BETA, prefix('192.168.7.128/25')],
  })
  assert.ok(of(FIRST).includes('prefix 192.168.7.0/24'))
  assert.equal(of('beta'), BETA.map(keyOf))
  assert.equal(refused('beta'), ['192.168.7.128/25 first 192.168.7.0/24'])
})

rule('stay with whoever had them, also against the first', () => {
  const lan = prefix('192.168.7.0/24')
  const { of, refused } = after(
    { [FIRST]: ACME, beta: [...BETA, lan] },
    { [FIRST]: [...ACME, prefix('192.168.0.0/16')], beta: [...BETA, lan] },
  )
  assert.ok(of('beta').includes('prefix 192.168.7.0/24'))
  assert.equal(refused(FIRST), ['192.168.0.0/16 beta 192.168.7.0/24'])
})

rule('are free when they are given up, and when the organization is removed', () => {
  const lan = prefix('192.168.7.0/24')
  const gained = ['prefix 192.168.7.0/24']
  const given = after(
    { [FIRST]: ACME, beta: [...BETA, lan] },
    { [FIRST]: [...ACME, lan], beta: BETA },
    { [FIRST]: [...ACME, lan], beta: BETA },
  )
  assert.equal(given.of(FIRST).slice(-1), gained)
  const removed = after({ [FIRST]: ACME, beta: [...BETA, lan] }, { [FIRST]: [...ACME, lan] })
  assert.equal(removed.of(FIRST).slice(-1), gained)
})

rule('of an organization that says nothing, being down, stay', () => {
  const lan = prefix('192.168.7.0/24')
  const { of, refused } = after(
    { [FIRST]: ACME, beta: [...BETA, lan] },
    { [FIRST]: [...ACME, lan], beta: undefined },
  )
  assert.ok(of('beta').includes('prefix 192.168.7.0/24'))
  assert.equal(refused(FIRST), ['192.168.7.0/24 beta 192.168.7.0/24'])
})

for (const [what, stolen] of [
  ['a prefix around its range', prefix('100.0.0.0/8')],
  ['its range', prefix('100.64.0.0/10')],
  ['an address in its range', prefix('100.64.0.7/32')],
  ['an IPv6 address in its range', prefix('fd11::7/128')],
  ['its domain', domain('acme.nexodus')],
  ['a domain inside its domain', domain('db.acme.nexodus')],
  ['half of the internet', prefix('128.0.0.0/1')],
  ['half of the internet by IPv6', prefix('8000::/1')],
] as const)
  rule(`of a hostile organization do not reach ${what}`, () => {
    const { of, refused } = after(
      { [FIRST]: ACME, beta: BETA },
      { [FIRST]: ACME, beta: [...BETA, stolen] },
    )
    assert.equal(of(FIRST), ACME.map(keyOf))
    assert.equal(of('beta'), BETA.map(keyOf))
    assert.is(refused('beta').length, 1)
    assert.equal(refused(FIRST), [])
  })

rule('of a range that overlaps leave the organization IPv6 alone', () => {
  const twin = [range('100.64.0.0/10'), range('fd33::/48')]
  const { of, refused } = after({
    [FIRST]: ACME,
    twin: [...twin, prefix('192.168.9.0/24'), prefix('fd99::/64')],
  })
  assert.equal(of('twin'), ['range fd33::/48', 'prefix fd99::/64'])
  assert.equal(refused('twin'), [
    '100.64.0.0/10 first 100.64.0.0/10',
    '192.168.9.0/24 first 100.64.0.0/10',
  ])
})

rule('leave nothing to an organization whose IPv6 range overlaps, its names but', () => {
  const twin = [range('10.5.0.0/16'), range('fd11::/48'), domain('twin.nexodus')]
  const { of, refused } = after({ [FIRST]: ACME, twin: [...twin, prefix('192.168.9.0/24')] })
  assert.equal(of('twin'), ['domain twin.nexodus'])
  assert.is(refused('twin').length, 3)
})

rule('of a range that is changed into another’s cost nobody but the one that changes', () => {
  const moved = [range('100.64.0.0/10'), range('fd22::/48'), domain('beta.nexodus')]
  const { of } = after({ [FIRST]: ACME, beta: BETA }, { [FIRST]: ACME, beta: moved })
  assert.equal(of(FIRST), ACME.map(keyOf))
  assert.equal(of('beta'), ['range fd22::/48', 'domain beta.nexodus'])
})

rule('give the exit to one, and to the next when it is given up', () => {
  const both = { [FIRST]: [...ACME, EXIT], beta: [...BETA, EXIT] }
  const held = after({ [FIRST]: ACME, beta: [...BETA, EXIT] }, both)
  assert.ok(held.of('beta').includes('exit '))
  assert.equal(held.refused(FIRST), [' beta '])
  const given = after({ [FIRST]: ACME, beta: [...BETA, EXIT] }, { ...both, beta: BETA }, both)
  assert.ok(given.of(FIRST).includes('exit '))
})

rule('lead nobody’s tunnel away: an address that one uses is in no route of another', () => {
  const { of, refused } = afterAs(
    new Set(['beta']),
    { [FIRST]: [...ACME, underlay('203.0.113.7/32')], beta: [...BETA, underlay('203.0.113.7/32')] },
    {
      [FIRST]: [...ACME, underlay('203.0.113.7/32')],
      beta: [...BETA, underlay('203.0.113.7/32'), prefix('203.0.113.0/24')],
    },
  )
  assert.not.ok(of('beta').includes('prefix 203.0.113.0/24'))
  assert.equal(refused('beta'), ['203.0.113.0/24 first 203.0.113.7/32'])
})

const LOST = ['prefix 203.0.113.0/24', 'prefix 10.5.0.0/16', 'range 10.77.0.0/16']

rule('give the first back what its tunnel runs by, whoever came first', () => {
  const lan = [prefix('203.0.113.0/24'), prefix('10.5.0.0/16'), prefix('192.168.7.0/24')]
  const beta = [...BETA, ...lan]
  const runs = ['203.0.113.7/32', '10.5.1.1/32', '10.77.0.9/32'].map(underlay)
  const { of, refused } = afterAs(
    new Set(['beta']),
    { [FIRST]: ACME, beta },
    { [FIRST]: [...ACME, ...runs, prefix('10.5.0.0/24')], beta },
  )
  assert.equal(refused(FIRST), [])
  for (const lost of LOST) assert.not.ok(of('beta').includes(lost), lost)
  // Its IPv4 range is among what it lost.
  assert.equal(of('beta'), ['range fd22::/48', 'domain beta.nexodus'])
  const rest = afterAs(
    new Set(['beta']),
    { [FIRST]: ACME, beta },
    { [FIRST]: [...ACME, ...runs.slice(0, 2)], beta },
  )
  assert.equal(rest.of('beta'), [...BETA.map(keyOf), 'prefix 192.168.7.0/24'])
})

rule('of what another’s tunnel runs by keep nothing from the first', () => {
  const { of, refused } = after(
    { [FIRST]: ACME, beta: [...BETA, underlay('192.168.50.1/32')] },
    { [FIRST]: [...ACME, prefix('192.168.50.0/24')], beta: [...BETA, underlay('192.168.50.1/32')] },
  )
  assert.equal([refused(FIRST), of(FIRST).at(-1)], [[], 'prefix 192.168.50.0/24'])
})

for (const text of [
  '203.0.113.0/24',
  '8.8.8.8/32',
  '2001:db8::/32',
  '64:ff9b::/96',
  '169.254.0.0/16',
])
  rule(`of a further organization do not reach ${text}, but by leave of the operator`, () => {
    const wants = { [FIRST]: ACME, beta: [...BETA, prefix(text)] }
    const { of, refused } = after(wants)
    assert.equal(of('beta'), BETA.map(keyOf))
    assert.match(refused('beta').join(), /private addresses .*--allow-public-routes/)
    assert.ok(
      afterAs(new Set(['beta']), wants)
        .of('beta')
        .includes(`prefix ${text}`),
    )
    const own = after({ [FIRST]: [...ACME, prefix(text)], beta: BETA })
    assert.ok(own.of(FIRST).includes(`prefix ${text}`))
  })

rule('of a further organization whose IPv4 range is of the internet leave it IPv6', () => {
  const { of } = after({ [FIRST]: ACME, beta: [range('8.0.0.0/8'), range('fd22::/48')] })
  assert.equal(of('beta'), ['range fd22::/48'])
})

rule('of one range more that is another’s cost no range that was had', () => {
  const both = { [FIRST]: ACME, beta: BETA }
  const more = [range('10.77.0.0/16'), range('fd22::/48')]
  const { of, refused } = after(both, { [FIRST]: [...more, ...ACME], beta: BETA }, both)
  assert.equal([of(FIRST), of('beta')], [ACME.map(keyOf), BETA.map(keyOf)])
  assert.equal(refused(FIRST), [])
  const step = after(both, { [FIRST]: [...more, ...ACME], beta: BETA })
  assert.equal(step.of(FIRST), ACME.map(keyOf))
  assert.equal(step.refused(FIRST), ['10.77.0.0/16 beta 10.77.0.0/16', 'fd22::/48 beta fd22::/48'])
  // Nor does what one adds to have it take what the other has.
  const hostile = after(both, { [FIRST]: ACME, beta: [range('100.64.0.0/10'), ...BETA] })
  assert.equal([hostile.of(FIRST), hostile.of('beta')], [ACME.map(keyOf), BETA.map(keyOf)])
})

rule('to reverse names of another’s range are refused, and given back to the first', () => {
  const stolen = ['64.100.in-addr.arpa', '100.in-addr.arpa', '0.0.1.1.d.f.ip6.arpa'].map(domain)
  const own = domain('77.10.in-addr.arpa')
  const { of, refused } = after({ [FIRST]: ACME, beta: [...BETA, ...stolen, own] })
  assert.equal(of('beta').slice(3), ['domain 77.10.in-addr.arpa'])
  assert.is(refused('beta').length, 3)
  const later = afterAs(
    new Set(['beta']),
    { [FIRST]: ACME.slice(1), beta: [...BETA, ...stolen] },
    { [FIRST]: ACME, beta: [...BETA, ...stolen] },
  )
  assert.equal([later.of(FIRST).length, later.of('beta')], [3, BETA.map(keyOf)])
  // A resolver of the first knows all of 10.0.0.0/8.
  const wide = after({ [FIRST]: [...ACME, domain('10.in-addr.arpa')], beta: BETA })
  assert.equal([wide.refused(FIRST), wide.refused('beta')], [[], []])
})

rule('beyond the limit are refused, and those before it stay', () => {
  const many = Array.from({ length: CLAIM_LIMITS.claims + 5 }, (_, index) =>
    prefix(`172.${16 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}/32`),
  )
  const { of, refused } = after({ [FIRST]: ACME, beta: many })
  assert.is(of('beta').length, CLAIM_LIMITS.claims)
  assert.is(refused('beta').length, 5)
  assert.match(refused('beta')[0] ?? '', /the limit of 4096 claims/)
})

rule.run()
