import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parsePrefix } from '../../protocol/address.ts'
import { membersOf } from '../../protocol/belief.ts'
import { openEnvelope } from '../../protocol/envelope.ts'
import type { Role } from '../../protocol/membership-certificate.ts'
import { liveFactsIn, lookForDevices } from '../../registry/device-presence.ts'
import { asker, refusal, startCore } from '../support/registry-core.ts'

const rule = suite('devices')

const asks = (prefixes: readonly string[], roles: readonly Role[] = []) => ({
  prefixes: prefixes.map(parsePrefix),
  roles,
})

async function scene() {
  const core = await startCore()
  const ada = await core.signIn('ada')
  const organization = await core.lifecycle.create(ada, { name: 'Acme' })
  const laptop = asker('laptop')
  const certificateOf = async () => {
    const envelopes = (await core.issuing.envelopes(organization)).map(openEnvelope)
    for (const { kind, body } of envelopes.toReversed()) {
      if (kind === 'membership-certificate' && body.device === laptop.id) return body
    }
    throw new Error('no certificate')
  }
  const device = async () => {
    const found = await core.devices.get(organization, laptop.id)
    if (found === undefined) throw new Error('no device')
    return found
  }
  return { core, ada, organization, laptop, certificateOf, device }
}

rule('what a device asks for waits for an admin, and is in no certificate before', async () => {
  const { core, organization, laptop, certificateOf, device } = await scene()
  await using _ = core
  const wanted = asks(['10.0.0.0/16', '192.168.7.0/24'], ['router', 'exit-node'])
  await core.enrol(laptop, await core.key(organization), undefined, wanted)
  assert.equal((await device()).requests, wanted)
  assert.equal((await certificateOf()).prefixes, [])
  assert.equal((await certificateOf()).roles, ['relay'])
  await core.devices.decide(organization, laptop.id, {
    grant: asks(['10.0.0.0/16', '172.16.0.0/12'], ['router']),
    deny: asks([], ['exit-node']),
  })
  assert.equal((await certificateOf()).prefixes, ['10.0.0.0/16'], 'and nothing it did not ask for')
  assert.equal((await certificateOf()).roles, ['relay', 'router'])
  assert.equal((await device()).requests, asks(['192.168.7.0/24']))
})

rule('what was denied does not wait again until the device stops and starts to ask', async () => {
  const { core, organization, laptop, device } = await scene()
  await using _ = core
  const wanted = asks(['10.0.0.0/16'], ['exit-node'])
  await core.enrol(laptop, await core.key(organization), undefined, wanted)
  await core.devices.decide(organization, laptop.id, { grant: asks([]), deny: wanted })
  await core.renew(laptop, organization, undefined, wanted)
  assert.equal((await device()).requests, asks([]))
  await core.renew(laptop, organization)
  assert.equal((await device()).requests, asks([]), 'one that does not speak of it asks as before')
  await core.renew(laptop, organization, undefined, asks([]))
  await core.renew(laptop, organization, undefined, wanted)
  assert.equal((await device()).requests, wanted)
})

rule('what an admin takes away again does not wait, though the device goes on asking', async () => {
  const { core, organization, laptop, device } = await scene()
  await using _ = core
  const wanted = asks(['10.0.0.0/16'])
  await core.enrol(laptop, await core.key(organization), undefined, wanted)
  await core.devices.decide(organization, laptop.id, { grant: wanted, deny: asks([]) })
  await core.devices.change(organization, laptop.id, { prefixes: [] })
  await core.renew(laptop, organization, undefined, wanted)
  assert.equal([(await device()).prefixes, (await device()).requests], [[], asks([])])
})

rule(
  'what was taken away does not come back by an older certificate that lasts longer',
  async () => {
    const { core, ada, organization, laptop } = await scene()
    await using _ = core
    const settings = (membershipLifetime: number) =>
      core.lifecycle.changeSettings(organization, ada, { membershipLifetime })
    await settings(7 * 86_400)
    await core.enrol(laptop, await core.key(organization))
    await core.devices.change(organization, laptop.id, { groups: ['admins'] })
    const kept = await core.issuing.envelopes(organization)
    await settings(600)
    await core.devices.change(organization, laptop.id, { groups: [] })
    const told = await core.issuing.envelopes(organization)
    const groups = () =>
      membersOf(core.hear(organization, [...told, ...kept]), core.clock.now()).get(laptop.id)
        ?.certificate.groups
    assert.equal(groups(), [])
    core.advance(1200) // it renews no more, and shows what it has kept
    assert.equal(groups() ?? [], [])
  },
)

rule('what lies in a granted prefix need not be asked for', async () => {
  const { core, organization, laptop, device } = await scene()
  await using _ = core
  await core.enrol(laptop, await core.key(organization))
  await core.devices.change(organization, laptop.id, { prefixes: [parsePrefix('10.0.0.0/8')] })
  await core.renew(laptop, organization, undefined, asks(['10.1.0.0/16', '11.0.0.0/8']))
  assert.equal((await device()).requests, asks(['11.0.0.0/8']))
})

rule('refuses a device that asks for what nobody may have', async () => {
  const { core, organization, laptop } = await scene()
  await using _ = core
  const key = await core.key(organization)
  const own = core.enrol(laptop, key, undefined, asks(['100.64.7.0/24']))
  assert.is(await refusal(own), 'prefix-invalid')
  const many = asks(Array.from({ length: 65 }, (_, at) => `10.${at}.0.0/16`))
  assert.is(await refusal(core.enrol(laptop, key, undefined, many)), 'prefix-invalid')
  assert.equal(await core.devices.list(organization), [])
})

rule('metadata is merged, costs no certificate, and has limits', async () => {
  const { core, organization, laptop, device } = await scene()
  await using _ = core
  await core.enrol(laptop, await core.key(organization))
  const { renewedAt } = await device()
  core.advance(60)
  const set = (metadata: Record<string, string | null>) =>
    refusal(core.devices.change(organization, laptop.id, { metadata }))
  await set({ rack: 'b7', 'team/on-call': 'ada' })
  await set({ rack: null, site: 'Köln' })
  assert.equal((await device()).metadata, { site: 'Köln', 'team/on-call': 'ada' })
  assert.is((await device()).renewedAt, renewedAt)
  const many = Object.fromEntries(Array.from({ length: 63 }, (_, at) => [`key-${at}`, 'x']))
  const refused: Record<string, string | null>[] = [
    { '': 'x' },
    { 'a b': 'x' },
    { '-a': 'x' },
    { ['k'.repeat(65)]: 'x' },
    { long: 'x'.repeat(1025) },
    many,
    Object.fromEntries(Array.from({ length: 9 }, (_, at) => [`key-${at}`, 'x'.repeat(1000)])),
  ]
  for (const metadata of refused) assert.is(await set(metadata), 'metadata-invalid')
  assert.equal((await device()).metadata, { site: 'Köln', 'team/on-call': 'ada' })
  await core.renew(laptop, organization)
  assert.is(Object.keys((await device()).metadata).length, 2, 'a renewal keeps it')
})

rule(
  'groups of the owner’s sign-in come into the certificate at the next renewal, and go',
  async () => {
    const { core, organization, ada, laptop, certificateOf, device } = await scene()
    await using _ = core
    await core.letIn(organization, laptop, ada)
    await core.devices.change(organization, laptop.id, { groups: ['edge'] })
    await core.signIn('ada', { groups: ['engineering', 'edge'] })
    assert.equal((await certificateOf()).groups, ['edge'])
    core.advance(60)
    await core.renew(laptop, organization)
    assert.equal((await certificateOf()).groups, ['edge', 'engineering'])
    assert.equal(
      [(await device()).groups, (await device()).claimedGroups],
      [['edge'], ['engineering', 'edge']],
    )
    await core.signIn('ada', { groups: [] })
    core.advance(60)
    await core.renew(laptop, organization)
    assert.equal((await certificateOf()).groups, ['edge'])
  },
)

rule('who is given a device gives it the groups of their own sign-in, at once', async () => {
  const { core, organization, ada, laptop, certificateOf } = await scene()
  await using _ = core
  await core.signIn('ada', { groups: ['engineering'] })
  await core.letIn(organization, laptop, ada)
  assert.equal((await certificateOf()).groups, ['engineering'])
  for (const [name, groups] of [
    ['grace', []],
    ['alan', ['research']],
  ] as const) {
    const ownerId = await core.signIn(name, { groups })
    const owner = { owner: `${name}@example.org`, ownerId }
    await core.devices.change(organization, laptop.id, { owner })
    assert.equal((await certificateOf()).groups, groups)
  }
})

rule('a registration key gives its groups, and says when it is used up or over', async () => {
  const { core, organization, laptop, certificateOf } = await scene()
  await using _ = core
  const key = await core.key(organization, { groups: ['servers'], singleUse: true, lasts: 600 })
  await core.enrol(laptop, key)
  assert.equal((await certificateOf()).groups, ['servers'])
  const used = await core.enrol(asker('x'), key).catch((error: unknown) => error)
  assert.match((used as Error).message, 'was for one use and has been used (ask for a new one)')
  core.advance(600)
  const over = await core.enrol(asker('x'), key).catch((error: unknown) => error)
  assert.match((over as Error).message, /expired on 2\d{3}-/)
})

rule('a device’s owner is who made its key, whatever the key is called', async () => {
  const { core, organization, laptop, certificateOf, device } = await scene()
  await using _ = core
  const eve = await core.member(organization, 'eve')
  const description = 'ada@example.org'
  await core.enrol(laptop, await core.key(organization, { by: eve, description }))
  assert.equal([(await device()).owner, (await device()).ownerId], ['eve@example.org', eve])
  assert.is((await certificateOf()).owner, 'eve@example.org')
})

rule('an owner’s certificates show no address that nobody vouches for', async () => {
  const { core, organization, laptop, certificateOf } = await scene()
  await using _ = core
  const eve = await core.member(organization, 'eve')
  const said = { email: 'ada@example.org', emailVerified: false }
  await core.signIn('eve', said)
  await core.letIn(organization, laptop, eve)
  assert.is((await certificateOf()).owner, `ada (${eve})`)
  await core.signIn('eve')
  core.advance(60)
  await core.renew(laptop, organization)
  assert.is((await certificateOf()).owner, 'eve@example.org', 'once it is, at the next renewal')
  await core.signIn('eve', said)
  core.advance(60)
  await core.renew(laptop, organization)
  assert.is((await certificateOf()).owner, `ada (${eve})`)
})

rule('a registration key is described anew, and keeps its secret', async () => {
  const { core, organization } = await scene()
  await using _ = core
  const key = await core.key(organization)
  const [known] = await core.registrationKeys.list(organization)
  const { describe } = core.registrationKeys
  const described = await describe(organization, known?.id ?? '', 'build farm')
  assert.is(described?.description, 'build farm')
  assert.is(await describe(organization, 'none', 'x'), undefined)
  assert.is(await describe(organization, 'a b', 'x'), undefined)
  await core.enrol(asker('x'), key)
})

rule(
  'an ephemeral device that is away too long is removed; others, and one that is there, stay',
  async () => {
    const { core, organization, laptop } = await scene()
    await using _ = core
    const [gone, there] = [asker('gone'), asker('there')]
    const key = await core.key(organization, { ephemeralAfter: 600 })
    await core.enrol(laptop, await core.key(organization))
    await core.enrol(gone, key)
    await core.enrol(there, key)
    const connected = () => [{ device: there.id }]
    core.advance(599)
    await lookForDevices(core, connected)
    assert.is((await core.devices.list(organization)).length, 3)
    core.advance(1)
    await lookForDevices(core, connected)
    const left = await core.devices.list(organization)
    assert.equal(
      left.map(({ name }) => name),
      ['laptop', 'there'],
    )
    assert.is(await refusal(core.renew(gone, organization)), 'device-removed')
    // Seen until a moment ago, as after a restart of the registry: not away yet.
    core.advance(599)
    await lookForDevices(core, () => [])
    assert.is((await core.devices.list(organization)).length, 2)
    core.advance(1)
    await lookForDevices(core, () => [])
    assert.is((await core.devices.list(organization)).length, 1)
  },
)

rule('tells which devices are there, and when they were seen last', async () => {
  const { core, organization, laptop, device } = await scene()
  await using _ = core
  const begin = core.clock.now()
  await core.enrol(laptop, await core.key(organization))
  const connected = () => [{ device: laptop.id }]
  core.advance(300)
  await lookForDevices(core, connected)
  core.advance(300)
  const here = await liveFactsIn(core, connected, organization)
  assert.equal(here(await device()), { online: true, seenAt: begin + 600 })
  const away = await liveFactsIn(core, () => [], organization)
  assert.equal(away(await device()), { online: false, seenAt: begin + 300 })
})

rule.run()
