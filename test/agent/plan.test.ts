import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isSamePlan, plan, type Self } from '../../agent/plan.ts'
import { BY_RANK } from '../../agent/routes/route-choice.ts'
import { toHex } from '../../crypto/bytes.ts'
import { type Prefix, parsePrefix } from '../../protocol/address.ts'
import { openEnvelope } from '../../protocol/envelope.ts'
import { apply, type OrganizationState } from '../../protocol/state.ts'
import { seconds } from '../../protocol/time.ts'
import { NOON, type TestDevice, testOrganization } from '../support/organization.ts'

const acme = testOrganization('acme')
const [laptop, phone, router] = ['laptop', 'phone', 'router'].map((name) => acme.device(name)) as [
  TestDevice,
  TestDevice,
  TestDevice,
]
const prefixes = [parsePrefix('10.99.0.0/24')]
const rule = suite('plan')

const self = (device: TestDevice, localPrefixes: readonly Prefix[] = []): Self => ({
  device: device.id,
  wireguardKey: device.wireguard,
  listenPort: 51820,
  mtu: 1420,
  localPrefixes,
})
const allowedIps = (
  state: OrganizationState,
  of: TestDevice,
  as: Self = self(laptop),
): readonly string[] =>
  plan(state, as, NOON).tunnel.peers.get(toHex(of.wireguard.publicKey))?.allowedIps ?? []
const members = (): readonly Uint8Array[] => [
  acme.issuerCertificate(),
  acme.manifest(),
  ...[laptop, phone, router].map((device) => acme.certificate(device, { prefixes })),
]

rule('makes a peer of every other member, with the addresses of its certificate', () => {
  const { tunnel, peers } = plan(acme.state(...members()), self(laptop), NOON)
  assert.equal([...peers.keys()].toSorted(), [phone.id, router.id].toSorted())
  assert.equal(tunnel.addresses, laptop.addresses)
  assert.equal(allowedIps(acme.state(...members()), phone), phone.addresses)
})

rule('gives a prefix to its holder alone, and moves it when another claims it', () => {
  const first = acme.state(...members(), acme.route(phone, '10.99.0.1/32', { epoch: 1 }))
  assert.ok(allowedIps(first, phone).includes('10.99.0.1/32'))
  const moved = apply(
    first,
    openEnvelope(acme.route(router, '10.99.0.1/32', { epoch: 2 })),
    NOON,
  ).state
  assert.not.ok(allowedIps(moved, phone).includes('10.99.0.1/32'))
  assert.ok(allowedIps(moved, router).includes('10.99.0.1/32'))
})

rule('binds the prefix on the holder itself', () => {
  const state = acme.state(...members(), acme.route(laptop, '10.99.0.1/32'))
  assert.ok(plan(state, self(laptop), NOON).tunnel.addresses.includes(parsePrefix('10.99.0.1/32')))
})

rule('leaves out a prefix that covers a local network, and says so', () => {
  const state = acme.state(...members(), acme.route(phone, '10.99.0.0/24', { metric: 1 }))
  const { leftOut } = plan(state, self(laptop, [parsePrefix('10.99.0.0/26')]), NOON)
  assert.equal(leftOut, [
    { prefix: '10.99.0.0/24', device: phone.id, reason: 'overlaps a local network' },
  ])
})

rule(
  'takes no address of a local network for a member, whose other family goes on (scenario 12)',
  () => {
    const [ipv4 = '', ipv6 = ''] = phone.addresses
    const lan = parsePrefix(`${ipv4.replace(/\.\d+\/32$/, '')}.0/24`)
    const own = plan(acme.state(...members()), self(laptop, [lan]), NOON)
    const taken = [phone, router].map(({ id, addresses }) => ({
      prefix: addresses[0],
      device: id,
      reason: 'overlaps a local network',
    }))
    assert.equal(new Set(own.leftOut), new Set(taken))
    assert.equal(allowedIps(acme.state(...members()), phone, self(laptop, [lan])), [ipv6])
    assert.equal(own.tunnel.addresses, laptop.addresses)
  },
)

rule('takes nothing from routes of others, but for those to all that nobody knows better', () => {
  const state = acme.state(...members(), acme.route(phone, '10.99.0.0/24', { metric: 1 }))
  const takes = (...routes: readonly string[]): boolean => {
    const own = { ...self(laptop), foreignNetworks: routes.map(parsePrefix) }
    const isTaken = allowedIps(state, phone, own).includes('10.99.0.0/24')
    const { leftOut } = plan(state, own, NOON)
    const reason = 'overlaps a local network'
    assert.equal(leftOut, isTaken ? [] : [{ prefix: '10.99.0.0/24', device: phone.id, reason }])
    return isTaken
  }
  assert.not(takes('10.99.0.0/24'))
  assert.not(takes('10.98.0.0/16', '10.99.0.0/16'))
  assert.ok(takes('10.0.0.0/8', '10.99.0.0/26', '10.98.0.0/16'))
  const [ipv4 = ''] = phone.addresses
  assert.ok(takes(ipv4, ipv4.replace(/\.\d+\.\d+\/32$/, '.0.0/16')))
})

rule('keeps what this device routes itself, by a gateway too', () => {
  const lan = parsePrefix('10.99.0.0/24')
  const state = acme.state(
    ...members(),
    acme.route(phone, lan, { metric: 1 }),
    acme.route(laptop, lan, { metric: 9 }),
  )
  const { leftOut, routed } = plan(state, { ...self(laptop), foreignNetworks: [lan] }, NOON)
  assert.equal([leftOut, routed], [[], [lan]])
})

rule('needs nobody for a network that this device routes itself, and does not complain', () => {
  const lan = parsePrefix('10.99.0.0/25')
  const state = acme.state(
    ...members(),
    acme.route(phone, lan, { metric: 1 }),
    acme.route(laptop, lan, { metric: 9 }),
  )
  const { leftOut, routed, tunnel } = plan(state, self(laptop, [lan]), NOON)
  assert.equal([leftOut, routed], [[], [lan]])
  assert.not.ok(tunnel.addresses.includes(lan))
  assert.not.ok(allowedIps(state, phone).includes(lan))
  assert.ok(allowedIps(state, phone, self(router)).includes(lan))
})

rule('gives nobody a default prefix, for whoever has it may send from any address', () => {
  const all = parsePrefix('0.0.0.0/0')
  const exit = acme.certificate(phone, {
    ...{ prefixes: [all], roles: ['exit-node'], notBefore: seconds(NOON - 1) },
  })
  const state = acme.state(...members(), exit, acme.route(phone, all))
  assert.not.ok(allowedIps(state, phone).includes(all))
  const choice = {
    ...BY_RANK,
    holder: () => phone.id,
    exit: phone.id,
  }
  const chosen = plan(state, self(laptop, [parsePrefix('10.5.0.0/24')]), NOON, choice)
  const ips = chosen.tunnel.peers.get(toHex(phone.wireguard.publicKey))?.allowedIps
  assert.ok(ips?.includes(all))
})

rule('gives no peer an address of this device, nor of another member, whatever it claims', () => {
  const all = [parsePrefix('100.64.0.0/10'), parsePrefix('fd00::/16')]
  const exit = acme.certificate(router, { prefixes: all, notBefore: seconds(NOON - 1) })
  const claims = [...laptop.addresses, ...phone.addresses].map((address) =>
    acme.route(router, address, { epoch: 9 }),
  )
  const state = acme.state(...members(), exit, ...claims)
  assert.equal(allowedIps(state, router), router.addresses)
  assert.equal(allowedIps(state, phone), phone.addresses)
})

rule('gives an address that two certificates name to one device, the same everywhere', () => {
  const twin = acme.certificate(phone, { addresses: router.addresses, manifestSequence: 2 })
  const state = acme.state(...members(), twin)
  const holders = [phone, router].filter((device) =>
    allowedIps(state, device).includes(router.addresses[0] ?? ''),
  )
  assert.is(holders.length, 1)
  assert.is(plan(state, self(laptop), NOON).leftOut.length, router.addresses.length)
})

rule('drops a revoked device, and has no peers once this device itself is out', () => {
  const revoked = (device: TestDevice): OrganizationState =>
    acme.state(
      ...members(),
      acme.manifest({
        sequence: 2,
        revocations: new Map([[device.serial, seconds(NOON + 86_400)]]),
      }),
    )
  assert.equal([...plan(revoked(phone), self(laptop), NOON).peers.keys()], [router.id])
  assert.is(plan(revoked(laptop), self(laptop), NOON).tunnel.peers.size, 0)
  assert.equal(plan(revoked(laptop), self(laptop), NOON).tunnel.addresses, [])
})

rule('is the same while nothing is new, and another with each thing that is', () => {
  const state = acme.state(...members(), acme.endpoint(phone))
  const own = self(laptop)
  const before = plan(state, own, NOON)
  assert.ok(isSamePlan(before, plan(state, own, seconds(NOON + 30))))
  const learned = (bytes: Uint8Array) => apply(state, openEnvelope(bytes), NOON).state
  for (const [what, other] of [
    ['an endpoint update', plan(learned(acme.endpoint(phone, { sequence: 2 })), own, NOON)],
    ['a route', plan(learned(acme.route(phone, '10.99.0.1/32')), own, NOON)],
    ['the end of an endpoint update', plan(state, own, seconds(NOON + 3601))],
    ['the end of certificates', plan(state, own, seconds(NOON + 86_401))],
    ['another MTU', plan(state, { ...own, mtu: own.mtu - 80 }, NOON)],
    ['another key', plan(state, { ...own, wireguardKey: phone.wireguard }, NOON)],
  ] as const)
    assert.not.ok(isSamePlan(before, other), what)
})

rule('keeps all peers under a policy it does not understand: who enforces it closes them', () => {
  const state = acme.state(
    ...members(),
    acme.manifest({ sequence: 2, policy: { version: 7, body: new Map() } }),
  )
  const wanted = plan(state, self(laptop), NOON)
  assert.is(wanted.policyUnderstood, false)
  assert.is(wanted.policy, undefined)
  assert.is(wanted.tunnel.peers.size, plan(acme.state(...members()), self(laptop), NOON).peers.size)
})

rule.run()
