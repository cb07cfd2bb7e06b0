import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type NameKnowledge, nameKnowledge } from '../../../agent/names/knowledge.ts'
import { hooked } from '../../../agent/names/names.ts'
import { zonesOf } from '../../../agent/names/zones.ts'
import { type Claim, FIRST, shareOut } from '../../../agent/organizations/claims.ts'
import {
  carriedBy,
  carriedNames,
  NO_SHARE,
  refusalOf,
  type Share,
  shareTexts,
} from '../../../agent/organizations/share.ts'
import { wantsOf } from '../../../agent/organizations/wants.ts'
import { type Plan, plan, TAKEN } from '../../../agent/plan.ts'
import { overlayPrefixes } from '../../../agent/plan-peers.ts'
import { BY_RANK } from '../../../agent/routes/route-choice.ts'
import { toHex } from '../../../crypto/bytes.ts'
import { type Prefix, parsePrefix } from '../../../protocol/address.ts'
import { parseDomainName } from '../../../protocol/domain-name.ts'
import { parseOrganizationId } from '../../../protocol/keys.ts'
import type { OrganizationState } from '../../../protocol/state.ts'
import { NOON, type TestDevice, testOrganization } from '../../support/organization.ts'

const evil = testOrganization('evil')
const [laptop, server] = ['laptop', 'server'].map((name) => evil.device(name)) as [
  TestDevice,
  TestDevice,
]
const [LAN, STOLEN] = ['192.168.7.0/24', '198.51.100.0/24'].map(parsePrefix) as [Prefix, Prefix]
const prefixes = [LAN, STOLEN, parsePrefix('10.9.9.9/32'), parsePrefix('0.0.0.0/0')]
const state = evil.state(
  evil.issuerCertificate(),
  evil.manifest(),
  evil.certificate(laptop, { prefixes }),
  evil.certificate(server, { prefixes, roles: ['router', 'exit-node'] }),
  ...prefixes.map((prefix) => evil.route(server, prefix)),
)
const NOTHING = { isExitWanted: false, underlay: [], servers: [] }
const wants = wantsOf(state, laptop.id, NOON, NOTHING)
const acme = parseOrganizationId(`${'a'.repeat(25)}a`)

/** What evil gets beside an organization that wants these. */
function beside(...claims: readonly Claim[]): Share {
  const { held, refused } = shareOut(
    [],
    new Map([
      [FIRST, claims],
      ['evil', wants?.claims ?? []],
    ]),
    new Set(['evil']),
  )
  return {
    ...NO_SHARE,
    granted: held.filter(({ label }) => label === 'evil'),
    refused: refused.get('evil') ?? [],
    names: { [FIRST]: 'acme' },
    ids: { [FIRST]: acme },
    others: claims.flatMap((each) =>
      each.kind === 'range' || each.kind === 'prefix' ? [each.value] : [],
    ),
  }
}

function planned(share: Share | undefined, of: OrganizationState = state): Plan {
  const own = { device: laptop.id, wireguardKey: laptop.wireguard, listenPort: 51820, mtu: 1420 }
  const choice = {
    ...BY_RANK,
    holder: () => server.id,
    alsoServed: new Set([STOLEN, parsePrefix('10.9.9.9/32')]),
    exit: server.id,
  }
  return plan(of, { ...own, localPrefixes: [], share }, NOON, choice)
}
const allowedIps = ({ tunnel }: Plan): readonly string[] =>
  tunnel.peers.get(toHex(server.wireguard.publicKey))?.allowedIps ?? []

const rule = suite('what an organization may have of a host')

rule('is all where it is alone', () => {
  assert.equal(new Set(allowedIps(planned(undefined))), new Set([...server.addresses, ...prefixes]))
  assert.is(shareTexts(undefined).length, 0)
})

rule('is nothing before it has been answered', () => {
  const { tunnel, routed } = planned(NO_SHARE)
  assert.equal([allowedIps(planned(NO_SHARE)), tunnel.addresses, routed], [[], [], []])
})

rule(
  'wants ranges, its domain, and routes outside of its ranges; an exit when that is used',
  () => {
    const texts = (of: typeof wants) => of?.claims.map(({ kind, value }) => `${kind} ${value}`)
    assert.equal(
      texts(wants)?.filter((each) => !each.startsWith('range')),
      ['domain evil.nexodus', ...['10.9.9.9/32', LAN, STOLEN].map((prefix) => `prefix ${prefix}`)],
    )
    const exit = wantsOf(state, laptop.id, NOON, { isExitWanted: true, underlay: [], servers: [] })
    assert.ok(texts(exit)?.includes('exit '))
    const servers = ['registry.example']
    const named = wantsOf(state, laptop.id, NOON, { ...NOTHING, servers })
    assert.ok(texts(named)?.includes('server registry.example'))
    assert.is(wantsOf(evil.state(), laptop.id, NOON, NOTHING), undefined)
  },
)

rule('leaves out what another has: of routes, of addresses that are bound, and the default', () => {
  const share = beside(
    { kind: 'prefix', value: STOLEN },
    { kind: 'prefix', value: parsePrefix('10.9.9.9/32') },
  )
  const made = planned(share)
  assert.equal(new Set(allowedIps(made)), new Set([...server.addresses, LAN]))
  assert.equal(made.tunnel.addresses, laptop.addresses)
  const reasons = new Map(made.leftOut.map(({ prefix, reason }) => [prefix, reason]))
  assert.is(reasons.get(STOLEN), TAKEN)
  assert.match(refusalOf(STOLEN, share) ?? '', /^198\.51\.100\.0\/24 overlaps .* of acme$/)
  assert.is(refusalOf(LAN, share), undefined)
})

rule('leaves out every IPv4 address where the range overlaps, of its peers, too', () => {
  const share = beside({ kind: 'range', value: parsePrefix('100.64.0.0/10') })
  const made = planned(share)
  const six = (all: readonly string[]) => all.filter((each) => each.includes(':'))
  assert.equal(allowedIps(made), six(server.addresses))
  assert.equal(made.tunnel.addresses, six(laptop.addresses))
  const peer = made.peers.get(server.id)
  assert.equal(peer?.certificate.addresses, six(server.addresses))
  assert.equal(shareTexts(share), [
    'carried by IPv6 alone: 100.64.0.0/10 overlaps 100.64.0.0/10 of acme',
  ])
})

rule('is nothing where its IPv6 range overlaps', () => {
  const six = wants?.claims.find(({ value }) => value.includes(':'))?.value as Prefix
  const share = beside({ kind: 'range', value: six })
  assert.equal(allowedIps(planned(share)), [])
  assert.match(shareTexts(share).join(), /^nothing of it is carried: .* overlaps .* of acme$/)
})

rule('has no way through what others have: no check is sent into their tunnels', () => {
  const theirs = parsePrefix('10.200.0.0/16')
  const share = beside({ kind: 'range', value: theirs })
  assert.ok(overlayPrefixes(state, planned(share), NOON).includes(theirs))
})

rule('has the exit when it was given it', () => {
  const exit: Claim = { kind: 'exit', value: '' }
  assert.not.ok(carriedBy(NO_SHARE)(parsePrefix('0.0.0.0/0')))
  assert.ok(carriedBy({ ...NO_SHARE, granted: [exit] })(parsePrefix('::/0')))
})

const names = suite('names of an organization beside others')
const known = nameKnowledge(state, laptop.id, NOON)

names('are none before it is known whose its domain is', () => {
  assert.is(carriedNames(known, NO_SHARE), undefined)
  assert.is(carriedNames(known, undefined), known)
})

names('are below its id where another has the domain, which is told', () => {
  const found = carriedNames(known, beside({ kind: 'domain', value: 'evil.nexodus' }))
  assert.equal(zonesOf(found).domains, [`${evil.id}.nexodus`])
  assert.is(found?.takenBy, acme)
})

names('have the addresses that are carried alone, backwards, too', () => {
  const share = beside({ kind: 'range', value: parsePrefix('100.64.0.0/10') })
  const { records, apexes } = zonesOf(carriedNames(known, share))
  assert.equal(
    records.get('server.evil.nexodus')?.map(({ type }) => type),
    ['AAAA'],
  )
  assert.not.ok([...apexes].some((each) => each.endsWith('in-addr.arpa')))
})

names('of a forward that another has stay away', () => {
  assert.ok(known)
  const domain = parseDomainName('corp.example', 'domain')
  const forwarding = { ...known, forwards: [{ domain, resolvers: [] }] } as NameKnowledge
  const share = beside()
  assert.equal(carriedNames(forwarding, share)?.forwards, [])
})

names('are short in the first organization alone', () => {
  const zones = zonesOf(known)
  const lines = (isSearched: boolean) =>
    hooked(known, zones, undefined, isSearched)?.lines.flatMap((each) => each.names)
  assert.ok(lines(true)?.includes('server'))
  assert.not.ok(lines(false)?.includes('server'))
  assert.ok(lines(false)?.includes('server.evil.nexodus'))
})

rule.run()
names.run()
