import { readdir, stat } from 'node:fs/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { equal } from '../../crypto/bytes.ts'
import { sha256 } from '../../crypto/hash.ts'
import { parsePrefix } from '../../protocol/address.ts'
import { currentManifest, deviceStanding, memberOf, membersOf } from '../../protocol/belief.ts'
import { openEnvelope } from '../../protocol/envelope.ts'
import type { OrganizationId } from '../../protocol/keys.ts'
import { seconds } from '../../protocol/time.ts'
import { MANIFEST } from '../../registry/head.ts'
import { Refused } from '../../registry/refusal.ts'
import { asker, type RegistryCore, startCore } from '../support/registry-core.ts'

const rule = suite('issuing')
const DAY = 86_400

const refusedAs = (code: string) => (error: unknown) =>
  error instanceof Refused && error.code === code

/** Every manifest ever made, in order. */
async function manifests(core: RegistryCore, organization: OrganizationId) {
  const made = []
  for await (const { value } of core.database.list(MANIFEST, { under: `${organization}/` })) {
    const envelope = openEnvelope(Uint8Array.from(Buffer.from(value.envelope, 'base64')))
    if (envelope.kind !== 'manifest') throw new Error('not a manifest')
    made.push(envelope)
  }
  return made
}

rule('an organization begins with a root, an issuer, and manifest 1 that names it', async () => {
  await using core = await startCore()
  const organization = await core.issuing.found('Acme')
  const state = core.hear(organization, await core.issuing.foundation(organization))
  const manifest = currentManifest(state, core.clock.now())
  assert.is(manifest?.body.sequence, 1)
  assert.is(manifest?.body.name, 'Acme')
  assert.equal(manifest?.body.previous, new Uint8Array(0))
})

rule('root and issuer keys are files of their own that nobody else may read', async () => {
  await using core = await startCore()
  const organization = await core.issuing.found('Acme')
  for (const folder of ['roots', 'issuers']) {
    const files = await readdir(`${core.stateDirectory}/${folder}`)
    assert.equal(files, [`${organization}.key`])
    const { mode } = await stat(`${core.stateDirectory}/${folder}/${files[0]}`)
    assert.is(mode & 0o777, 0o600)
  }
})

rule(
  'what is issued makes the device a member with its addresses, by the rules of apply',
  async () => {
    await using core = await startCore()
    const organization = await core.issuing.found('Acme')
    const laptop = asker('laptop')
    const { envelopes } = await core.enrol(laptop, await core.key(organization))
    const state = core.hear(organization, envelopes)
    const member = memberOf(state, laptop.id, core.clock.now())
    assert.is(member?.certificate.name, 'laptop')
    assert.is(member?.certificate.owner, 'ada@example.org')
    assert.is(member?.certificate.addresses[0], parsePrefix('100.64.0.1/32'))
    assert.equal(member?.certificate.wireguardKey, laptop.wireguardKey.publicKey)
    assert.is((member?.certificate.notAfter ?? 0) - (member?.certificate.notBefore ?? 0), DAY)
  },
)

rule('manifests are numbered without gaps and each names the hash of the one before', async () => {
  await using core = await startCore()
  const organization = await core.issuing.found('Acme')
  const key = await core.key(organization)
  const members = ['a', 'b', 'c', 'd'].map(asker)
  for (const member of members) await core.enrol(member, key)
  await Promise.all(members.map(({ id }) => core.devices.remove(organization, id)))
  await core.issuing.setRendezvous([{ multiaddrs: ['/ip4/192.0.2.1/tcp/4001'], stun: [] }])
  const made = await manifests(core, organization)
  assert.equal(
    made.map(({ body }) => body.sequence),
    [1, 2, 3, 4, 5, 6],
  )
  for (const [index, { body }] of made.entries()) {
    const before = made[index - 1]
    if (before) assert.ok(equal(body.previous, sha256(before.bytes)))
  }
  assert.equal(made.at(-1)?.body.rendezvous[0]?.multiaddrs, ['/ip4/192.0.2.1/tcp/4001'])
})

rule('the same rendezvous again makes no manifest', async () => {
  await using core = await startCore()
  const organization = await core.issuing.found('Acme')
  const rendezvous = [{ multiaddrs: ['/ip4/192.0.2.1/tcp/4001'], stun: ['192.0.2.1:3478'] }]
  await core.issuing.setRendezvous(rendezvous)
  await core.issuing.setRendezvous(rendezvous)
  assert.is((await manifests(core, organization)).length, 2)
})

rule(
  'a removed device is no member for whoever hears the next manifest, old ones bring it not back',
  async () => {
    await using core = await startCore()
    const organization = await core.issuing.found('Acme')
    const key = await core.key(organization)
    const [laptop, phone] = [asker('laptop'), asker('phone')]
    const before = (await core.enrol(laptop, key)).envelopes
    await core.renew(laptop, organization)
    await core.enrol(phone, key)
    assert.is(await core.devices.remove(organization, laptop.id), true)
    let state = core.hear(organization, await core.issuing.envelopes(organization))
    state = core.hear(organization, before, state)
    assert.is(deviceStanding(state, laptop.id, core.clock.now()), 'revoked')
    assert.ok(memberOf(state, phone.id, core.clock.now()))
    assert.is(currentManifest(state, core.clock.now())?.body.revocations.size, 2)
    assert.is(await core.devices.remove(organization, laptop.id), false)
  },
)

rule('a revocation leaves with the next manifest after its certificate has ended', async () => {
  await using core = await startCore()
  const organization = await core.issuing.found('Acme')
  const key = await core.key(organization, { lasts: 10 * DAY })
  const [laptop, phone] = [asker('laptop'), asker('phone')]
  await core.enrol(laptop, key)
  await core.devices.remove(organization, laptop.id)
  core.advance(DAY)
  await core.enrol(phone, key)
  await core.devices.remove(organization, phone.id)
  const last = (await manifests(core, organization)).at(-1)
  assert.is(last?.body.revocations.size, 1)
})

rule('a change of a device is in a newer certificate that everybody believes', async () => {
  await using core = await startCore()
  const organization = await core.issuing.found('Acme')
  const laptop = asker('laptop')
  const { envelopes } = await core.enrol(laptop, await core.key(organization))
  const told: Uint8Array[] = []
  core.issuing.onIssued((issued) => void told.push(...issued.envelopes))
  const prefixes = [parsePrefix('10.99.0.1/32')]
  const changed = await core.devices.change(organization, laptop.id, {
    prefixes,
    roles: ['router'],
    name: 'router-1',
  })
  assert.equal(changed?.prefixes, prefixes)
  // In the same second, and heard in the wrong order.
  const state = core.hear(organization, [...told, ...envelopes])
  const { certificate } = memberOf(state, laptop.id, core.clock.now()) ?? {}
  assert.equal(certificate?.prefixes, prefixes)
  assert.equal(certificate?.roles, ['router'])
  assert.is(certificate?.name, 'router-1')
})

rule('a device may be changed more often than it may renew', async () => {
  await using core = await startCore()
  const organization = await core.issuing.found('Acme')
  const laptop = asker('laptop')
  await core.enrol(laptop, await core.key(organization))
  for (let change = 0; change < 40; change++) {
    await core.devices.change(organization, laptop.id, { groups: [`group-${change}`] })
  }
  const state = core.hear(organization, await core.issuing.envelopes(organization))
  assert.equal(memberOf(state, laptop.id, core.clock.now())?.certificate.groups, ['group-39'])
})

rule(
  'refuses a prefix inside the range of addresses, and more prefixes than a certificate holds',
  async () => {
    await using core = await startCore()
    const organization = await core.issuing.found('Acme')
    const laptop = asker('laptop')
    await core.enrol(laptop, await core.key(organization))
    const many = Array.from({ length: 65 }, (_, index) => parsePrefix(`10.0.${index}.0/24`))
    for (const prefixes of [[parsePrefix('100.64.0.9/32')], [parsePrefix('100.64.0.0/10')], many]) {
      const refused = await core.devices
        .change(organization, laptop.id, { prefixes })
        .catch((error: unknown) => error)
      assert.ok(refusedAs('prefix-invalid')(refused))
    }
    const everything = [parsePrefix('0.0.0.0/0')]
    const changed = await core.devices.change(organization, laptop.id, { prefixes: everything })
    assert.equal(changed?.prefixes, everything)
  },
)

rule('two organizations share nothing: a device of one is none of the other', async () => {
  await using core = await startCore()
  const [acme, umbrella] = [await core.issuing.found('Acme'), await core.issuing.found('Umbrella')]
  const laptop = asker('laptop')
  const { organization, envelopes } = await core.enrol(laptop, await core.key(acme))
  assert.is(organization, acme)
  assert.is(await core.devices.get(umbrella, laptop.id), undefined)
  assert.is(await core.devices.remove(umbrella, laptop.id), false)
  const state = core.hear(umbrella, [...(await core.issuing.foundation(umbrella)), ...envelopes])
  assert.is(membersOf(state, core.clock.now()).size, 0)
  const refused = await core.renew(laptop, umbrella).catch((error: unknown) => error)
  assert.ok(refusedAs('not-enrolled')(refused))
})

rule('a certificate is newer than the one before it though the clock was put back', async () => {
  await using core = await startCore({ begin: seconds(2_000_000_000) })
  const organization = await core.issuing.found('Acme')
  const laptop = asker('laptop')
  const first = await core.enrol(laptop, await core.key(organization))
  core.advance(-60)
  const second = await core.renew(laptop, organization)
  core.advance(60)
  const state = core.hear(organization, [...second.envelopes, ...first.envelopes])
  const newest = openEnvelope(second.envelopes.at(-1) ?? new Uint8Array())
  assert.is(memberOf(state, laptop.id, core.clock.now())?.envelope.id, newest.id)
})

rule.run()
