/** Who may still send from a prefix that it has handed over: the holder before, and nobody who has lost a right. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isSamePlan, type Plan, plan } from '../../agent/plan.ts'
import { BY_RANK } from '../../agent/routes/route-choice.ts'
import { toHex } from '../../crypto/bytes.ts'
import { type Prefix, parsePrefix } from '../../protocol/address.ts'
import type { MembershipCertificate } from '../../protocol/membership-certificate.ts'
import { policyOf } from '../../protocol/policy.ts'
import { parsePolicyDocument } from '../../protocol/policy-document.ts'
import type { RouteAdvertisement } from '../../protocol/route-advertisement.ts'
import { routeAlias } from '../../protocol/route-alias.ts'
import type { OrganizationState } from '../../protocol/state.ts'
import { seconds } from '../../protocol/time.ts'
import { NOON, type TestDevice, testOrganization } from '../support/organization.ts'

const acme = testOrganization('acme')
const [laptop, phone, router] = ['laptop', 'phone', 'router'].map((name) => acme.device(name)) as [
  TestDevice,
  TestDevice,
  TestDevice,
]
const tablet = acme.device('tablet')
const X = parsePrefix('10.99.0.1/32')
const LAN = parsePrefix('10.99.8.0/24')
const grant = parsePrefix('10.99.0.0/16')
const rule = suite('what a holder before may still send (SPEC §8.8)')

interface Told {
  readonly phone?: Partial<MembershipCertificate>
  readonly router?: Partial<MembershipCertificate>
  readonly claim?: Partial<RouteAdvertisement>
  readonly manifest?: Parameters<typeof acme.manifest>[0]
  readonly left?: ReadonlyMap<Prefix, TestDevice['id']>
  readonly prefix?: Prefix
  readonly self?: TestDevice
}

/** The phone had the prefix until now, the router has it. */
function stateOf(told: Told): OrganizationState {
  const { prefix = X } = told
  return acme.state(
    ...[acme.issuerCertificate(), acme.manifest(told.manifest), acme.certificate(laptop)],
    acme.certificate(tablet),
    acme.certificate(phone, { prefixes: [grant], ...told.phone }),
    acme.certificate(router, { prefixes: [grant], ...told.router }),
    acme.route(phone, prefix, { epoch: 1, metric: 9, ...told.claim }),
    acme.route(router, prefix, { epoch: 2, metric: 1 }),
  )
}

function planOf(told: Told, state = stateOf(told)): Plan {
  const { prefix = X, self = laptop } = told
  const choice = { ...BY_RANK, left: told.left ?? new Map([[prefix, phone.id]]) }
  const own = { wireguardKey: self.wireguard, listenPort: 1, mtu: 1420, localPrefixes: [] }
  return plan(state, { ...own, device: self.id }, NOON, choice)
}

function late(told: Told = {}): readonly string[] {
  const { tunnel } = planOf(told)
  const all = [...tunnel.peers].flatMap(([key, { lateIps, allowedIps }]) => {
    if (lateIps === undefined) return []
    assert.is(key, toHex(phone.wireguard.publicKey))
    for (const each of lateIps) assert.not.ok(allowedIps.includes(each))
    return lateIps
  })
  return all
}

rule('what it has handed over, an address or a network, drained or not', () => {
  assert.equal(late(), [X])
  assert.equal(late({ prefix: LAN }), [LAN])
  assert.equal(late({ prefix: LAN, claim: { state: 'draining' } }), [LAN])
})

rule('another plan than the one that ends it', () => {
  const state = stateOf({})
  const ended = planOf({ left: new Map() }, state)
  const during = planOf({}, state)
  assert.equal([isSamePlan(during, ended), isSamePlan(ended, during)], [false, false])
  assert.equal([isSamePlan(during, planOf({}, state)), isSamePlan(ended, ended)], [true, true])
})

/** The alias of the phone's prefix: who may send from it, and what it is translated to. */
function byAlias(prefix: Prefix, choice: Partial<typeof BY_RANK>): readonly unknown[] {
  const own = { wireguardKey: laptop.wireguard, listenPort: 1, mtu: 1420, localPrefixes: [] }
  const state = stateOf({ prefix })
  const made = plan(state, { ...own, device: laptop.id }, NOON, { ...BY_RANK, ...choice })
  const sources = [...made.tunnel.peers].flatMap(([key, { aliasIps = [] }]) =>
    aliasIps.map((each) => [key, each]),
  )
  const { aliases } = made
  assert.equal(
    sources.map(([, alias]) => alias),
    aliases.arriving.map(({ alias }) => alias),
  )
  for (const [key] of sources) assert.is(key, toHex(phone.wireguard.publicKey))
  return [aliases.arriving, aliases.leaving]
}

rule('by its alias, too, and before it is left (SPEC §8.9)', () => {
  for (const prefix of [X, LAN]) {
    const alias = routeAlias(phone.id, prefix)
    const both = [[{ alias, prefix }], []]
    const holder = (): typeof phone.id => phone.id
    const departing = new Map([[prefix, phone.id]])
    assert.equal(byAlias(prefix, { left: new Map([[prefix, phone.id]]) }), both)
    assert.equal(byAlias(prefix, { holder, departing }), both)
    assert.equal(byAlias(prefix, { departing }), [[], []], 'another holds it')
    assert.equal(byAlias(prefix, {}), [[], []])
    const own = { prefix, alias: routeAlias(laptop.id, prefix) }
    assert.equal(byAlias(prefix, { parting: new Set([prefix]) }), [[], [own]])
  }
})

rule('by no alias that is somebody’s address', () => {
  const taken = routeAlias(phone.id, X)
  if (taken === undefined) throw new Error('no alias')
  const state = acme.state(
    ...[acme.issuerCertificate(), acme.manifest(), acme.certificate(laptop)],
    acme.certificate(tablet, { prefixes: [taken] }),
    acme.certificate(phone, { prefixes: [grant] }),
    acme.route(phone, X),
    acme.route(tablet, taken),
  )
  const own = { wireguardKey: laptop.wireguard, listenPort: 1, mtu: 1420, localPrefixes: [] }
  const choice = { ...BY_RANK, departing: new Map([[X, phone.id]]) }
  const made = plan(state, { ...own, device: laptop.id }, NOON, choice)
  assert.ok(made.tunnel.peers.get(toHex(tablet.wireguard.publicKey))?.allowedIps.includes(taken))
  assert.equal(made.aliases.arriving, [])
})

rule('nothing that it did not leave just now', () => {
  assert.equal(late({ left: new Map() }), [])
  assert.equal(late({ left: new Map([[LAN, phone.id]]) }), [])
  assert.equal(late({ left: new Map([[X, laptop.id]]) }), [])
  assert.equal(late({ left: new Map([[X, router.id]]) }), [])
})

rule('nothing once it is revoked, its certificate has ended, or it withdraws', () => {
  const revocations = new Map([[phone.serial, seconds(NOON + 1000)]])
  assert.equal(late({ manifest: { revocations } }), [])
  assert.equal(late({ phone: { notBefore: seconds(NOON - 60), notAfter: NOON } }), [])
  assert.equal(late({ claim: { state: 'withdrawn' } }), [])
  assert.equal(late({ claim: { issuedAt: seconds(NOON - 60), notAfter: NOON } }), [])
})

rule('nothing once its grant is gone, or covers another prefix', () => {
  assert.equal(late({ phone: { prefixes: [] } }), [])
  assert.equal(late({ phone: { prefixes: [parsePrefix('10.99.0.2/32')] } }), [])
})

rule('nothing where nobody holds the prefix, or this device does', () => {
  assert.equal(late({ router: { prefixes: [] } }), [])
  assert.equal(late({ self: router }), [])
})

rule('nothing where the address is another’s by certificate, whoever claims it', () => {
  for (const owner of [tablet, router, laptop]) {
    const [prefix = X] = owner.addresses
    const granted = { prefixes: [prefix] }
    assert.equal(late({ prefix, phone: granted, router: granted }), [])
  }
})

rule('nothing where a rule of this device tells the two apart', () => {
  const policy = (rules: string) => ({
    policy: policyOf({
      revision: 7,
      ...parsePolicyDocument(
        `version: 1\ndefault: accept\nsecurity_groups: {"${rules.split('/')[0]}": {inbound_rules: [${rules.split('/')[1]}]}}`,
      ).rules,
    }),
  })
  assert.equal(late({ manifest: policy('*/{groups: [web]}') }), [X])
  assert.equal(late({ manifest: policy('*/{devices: [router]}') }), [])
  assert.equal(late({ manifest: policy('*/{devices: [phone]}') }), [])
  // A rule of others is no rule of ours.
  assert.equal(late({ manifest: policy('db/{devices: [router]}') }), [X])
  const web = { router: { groups: ['web'], prefixes: [grant] } }
  assert.equal(late({ ...web, manifest: policy('*/{groups: [web]}') }), [])
  assert.equal(
    late({ ...web, phone: { groups: ['web'] }, manifest: policy('*/{groups: [web]}') }),
    [X],
  )
  assert.equal(late({ manifest: { policy: { version: 99, body: new Map() } } }), [])
})

rule.run()
