import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { exitResolver, hostServers } from '../../../agent/names/exit-resolver.ts'
import { mayAskBy } from '../../../agent/own-exit-answer.ts'
import { systemClock as clock } from '../../../agent/system-clock.ts'
import { randomBytes } from '../../../crypto/random.ts'
import { type Endpoint, parsePrefix } from '../../../protocol/address.ts'
import { membersOf } from '../../../protocol/belief.ts'
import type { DeviceId } from '../../../protocol/keys.ts'
import { EVERY_DEVICE, NO_RULES, type PolicyRules } from '../../../protocol/policy-rules.ts'
import { NOON, testOrganization } from '../../support/organization.ts'
import { answerText, questionBytes } from './question.ts'
import { upstream } from './upstream-resolver.ts'

const rule = suite('names that an exit tells (SPEC §13.6)')
const [MEMBER, STRANGER] = ['member', 'stranger'] as DeviceId[] as [DeviceId, DeviceId]

function resolverOf(servers: () => readonly Endpoint[]) {
  const mayAsk = (from: DeviceId): boolean => from === MEMBER
  return exitResolver({ mayAsk, servers, clock, random: randomBytes })
}

const said = (bytes: Uint8Array | undefined): string =>
  bytes === undefined ? 'nothing' : answerText(Buffer.from(bytes))

rule('are what its own resolvers say', async () => {
  await using first = await upstream()
  await using second = await upstream({ data: () => '10.1.1.1' })
  let servers = [first.at]
  const answer = resolverOf(() => servers)
  const question = questionBytes('www.example.org')
  assert.is(said(await answer(MEMBER, question)), 'NOERROR A 10.9.8.1')
  assert.is(said(await answer(MEMBER, question)), 'NOERROR A 10.9.8.1')
  assert.equal(first.asked, ['udp'], 'the second time it is known')
  servers = [second.at]
  assert.is(said(await answer(MEMBER, question)), 'NOERROR A 10.1.1.1')
})

rule('are told to nobody who may not, and without a resolver there is no answer', async () => {
  await using first = await upstream()
  const answer = resolverOf(() => [first.at])
  assert.is(said(await answer(STRANGER, questionBytes('www.example.org'))), 'REFUSED')
  assert.equal(first.asked, [])
  // This host may be in other organizations.
  for (const name of ['db.other.nexodus', 'nexodus', 'NAS.Other.Nexodus'])
    assert.is(said(await answer(MEMBER, questionBytes(name))), 'REFUSED', name)
  assert.equal(first.asked, [])
  const alone = resolverOf(() => [])
  assert.is(said(await alone(MEMBER, questionBytes('www.example.org'))), 'SERVFAIL')
})

rule('are not looked for where the message is none', async () => {
  await using first = await upstream()
  const answer = resolverOf(() => [first.at])
  for (const bytes of [Buffer.alloc(0), Buffer.alloc(12), Buffer.alloc(1300, 7)])
    assert.is(said(await answer(MEMBER, bytes)), 'nothing')
  assert.equal(first.asked, [])
})

rule('come from the servers of this host’s files', () => {
  const found = hostServers(['192.0.2.1', '192.0.2.2:5353', '2001:db8::1', '[2001:db8::2]:54'])
  assert.equal(
    found.map(({ address, port }) => `${address} ${port}`),
    ['192.0.2.1 53', '192.0.2.2 5353', '2001:db8::1 53', '2001:db8::2 54'],
  )
  assert.equal(hostServers(['fe80::1%eth0', 'nonsense']), [])
  assert.ok(Array.isArray(hostServers()))
})

rule('are for members whom the policy of an exit lets ask', () => {
  const acme = testOrganization('acme')
  const [exit, laptop] = [acme.device('exit'), acme.device('laptop')]
  const state = acme.state(
    acme.issuerCertificate(),
    acme.manifest(),
    acme.certificate(exit),
    acme.certificate(laptop),
  )
  const members = membersOf(state, NOON)
  const plan = {
    own: members.get(exit.id),
    peers: new Map([...members].filter(([device]) => device !== exit.id)),
    routed: [parsePrefix('0.0.0.0/0')],
    policy: NO_RULES,
  }
  assert.is(mayAskBy(plan, laptop.id), true)
  assert.is(mayAskBy({ ...plan, routed: [parsePrefix('10.0.0.0/8')] }, laptop.id), false)
  assert.is(mayAskBy(plan, STRANGER), false)
  assert.is(mayAskBy({ ...plan, policy: undefined }, laptop.id), false)
  const denied = { ...NO_RULES, defaults: { inbound: 'deny', outbound: 'accept' } } as const
  assert.is(mayAskBy({ ...plan, policy: denied }, laptop.id), false)
  const allowing = (port: number): PolicyRules => ({
    ...denied,
    rules: [
      {
        securityGroup: EVERY_DEVICE,
        direction: 'inbound',
        protocol: 'udp',
        ports: { from: port, to: port },
        ranges: [],
        groups: [],
        users: [],
        devices: [],
      },
    ],
  })
  assert.is(mayAskBy({ ...plan, policy: allowing(53) }, laptop.id), true)
  assert.is(mayAskBy({ ...plan, policy: allowing(54) }, laptop.id), false)
})

rule.run()
