import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { deviceStanding, memberOf } from '../../protocol/belief.ts'
import { openEnvelope } from '../../protocol/envelope.ts'
import { UNKNOWN_ORGANIZATION } from '../../protocol/proof.ts'
import { seconds } from '../../protocol/time.ts'
import { forgetProofs } from '../../registry/possession.ts'
import { asker, type RegistryCore, refusal, startCore } from '../support/registry-core.ts'

const rule = suite('enrolment and renewal')

async function scene() {
  const core = await startCore()
  const organization = await core.issuing.found('Acme')
  return { core, organization, key: await core.key(organization) }
}

const certificateIn = (envelopes: readonly Uint8Array[]) => {
  const last = openEnvelope(envelopes.at(-1) ?? new Uint8Array())
  if (last.kind !== 'membership-certificate') throw new Error(`got ${last.kind}`)
  return last.body
}

rule(
  'the same device key again is the same device: name, addresses, and a new certificate',
  async () => {
    const { core, organization, key } = await scene()
    await using _ = core
    const laptop = asker('laptop')
    const first = certificateIn((await core.enrol(laptop, key)).envelopes)
    const again = certificateIn((await core.enrol({ ...laptop, name: 'renamed' }, key)).envelopes)
    assert.equal([again.name, again.addresses], [first.name, first.addresses])
    assert.is.not(again.serial, first.serial)
    assert.is((await core.devices.list(organization)).length, 1)
  },
)

rule('a name that another device has gets a number', async () => {
  const { core, key } = await scene()
  await using _ = core
  const names = []
  for (const wanted of ['pi', 'pi', 'pi', 'a'.repeat(63), 'a'.repeat(63)]) {
    names.push(certificateIn((await core.enrol(asker(wanted), key)).envelopes).name)
  }
  assert.equal(names, ['pi', 'pi-2', 'pi-3', 'a'.repeat(63), `${'a'.repeat(61)}-2`])
})

rule('a name that was freed can be had again', async () => {
  const { core, organization, key } = await scene()
  await using _ = core
  const [first, second] = [asker('pi'), asker('pi')]
  await core.enrol(first, key)
  await core.devices.change(organization, first.id, { name: 'old-pi' })
  assert.is(certificateIn((await core.enrol(second, key)).envelopes).name, 'pi')
  await core.devices.remove(organization, second.id)
  assert.is(certificateIn((await core.enrol(asker('pi'), key)).envelopes).name, 'pi')
})

rule('refuses a name that is no DNS label', async () => {
  const { core, key } = await scene()
  await using _ = core
  for (const name of ['', 'My Laptop', '-a', 'a.b', 'a'.repeat(64), 'ä']) {
    assert.is(await refusal(core.enrol(asker(name), key)), 'device-invalid', name)
  }
})

rule('a registration key for one use lets one device in, and that one again', async () => {
  const { core, organization } = await scene()
  await using _ = core
  const key = await core.key(organization, { singleUse: true })
  const laptop = asker('laptop')
  await core.enrol(laptop, key)
  assert.is(await refusal(core.enrol(asker('phone'), key)), 'registration-key-refused')
  await core.enrol(laptop, key)
  assert.is(
    (await core.registrationKeys.list(organization)).find(({ uses }) => uses === 1)?.uses,
    1,
  )
})

rule('of two devices that use a key for one use at once one is let in', async () => {
  const { core, organization } = await scene()
  await using _ = core
  const key = await core.key(organization, { singleUse: true })
  const outcomes = await Promise.all(
    ['a', 'b', 'c', 'd'].map((name) => refusal(core.enrol(asker(name), key))),
  )
  assert.is(outcomes.filter((code) => code === 'none').length, 1)
  assert.is(outcomes.filter((code) => code === 'registration-key-refused').length, 3)
})

rule('refuses a registration key that is unknown, expired or revoked', async () => {
  const { core, organization, key } = await scene()
  await using _ = core
  assert.is(await refusal(core.enrol(asker('a'), 'nrk_nothing')), 'registration-key-refused')
  const [known] = await core.registrationKeys.list(organization)
  assert.is(await core.registrationKeys.revoke(organization, known?.id ?? ''), true)
  assert.is(await core.registrationKeys.revoke(organization, known?.id ?? ''), false)
  assert.is(await refusal(core.enrol(asker('a'), key)), 'registration-key-refused')
  const short = await core.key(organization, { lasts: 60 })
  core.advance(60)
  assert.is(await refusal(core.enrol(asker('a'), short)), 'registration-key-refused')
  assert.equal(await core.devices.list(organization), [])
})

rule('a registration key lets in no more than who made it still may', async () => {
  const { core, organization } = await scene()
  await using _ = core
  const ada = await core.member(organization, 'ada', 'owner')
  const eve = await core.member(organization, 'eve', 'admin')
  const plain = await core.key(organization, { by: eve })
  const grouped = await core.key(organization, { by: eve, groups: ['servers'] })
  const came = asker('came')
  await core.enrol(came, grouped)
  await core.members.setRole(organization, ada, eve, 'member')
  const code = (key: string, by = asker('new')) => refusal(core.enrol(by, key))
  assert.is(await code(grouped), 'registration-key-refused')
  assert.is(await code(plain), 'none')
  assert.is(await code(grouped, came), 'none', 'a device of theirs comes again')
  await core.lifecycle.changeSettings(organization, ada, { approvalRequired: true })
  assert.is(await code(plain), 'registration-key-refused')
  assert.is(await code(plain, came), 'none')
  assert.is(await code(await core.key(organization)), 'none', 'an owner’s serves')
  await core.members.setRole(organization, ada, eve, 'admin')
  assert.is(await code(plain), 'none', 'and theirs again, once they are admin')
})

rule('a registration key that was made as its maker left lets nobody in', async () => {
  const { core, organization } = await scene()
  await using _ = core
  const ada = await core.member(organization, 'ada', 'owner')
  const eve = await core.member(organization, 'eve')
  await core.members.remove(organization, ada, eve, 'revoke')
  const late = await core.key(organization, { by: eve })
  assert.is(await refusal(core.enrol(asker('new'), late)), 'registration-key-refused')
})

rule('a removed device does not come back by a registration key', async () => {
  const { core, organization, key } = await scene()
  await using _ = core
  const laptop = asker('laptop')
  await core.enrol(laptop, key)
  await core.devices.remove(organization, laptop.id)
  assert.is(await refusal(core.enrol(laptop, key)), 'device-removed')
  assert.is(await refusal(core.renew(laptop, organization)), 'device-removed')
  const state = core.hear(organization, await core.issuing.envelopes(organization))
  assert.is(deviceStanding(state, laptop.id, core.clock.now()), 'not-member')
})

rule('renews by proof of the device key alone, also after the certificate has ended', async () => {
  const { core, organization, key } = await scene()
  await using _ = core
  const laptop = asker('laptop')
  await core.enrol(laptop, key)
  core.advance(30 * 86_400)
  const { envelopes } = await core.renew(laptop, organization)
  const state = core.hear(organization, envelopes)
  assert.ok(memberOf(state, laptop.id, core.clock.now()))
})

rule('a renewal may bring a new WireGuard key, but not that of another device', async () => {
  const { core, organization, key } = await scene()
  await using _ = core
  const [laptop, phone] = [asker('laptop'), asker('phone')]
  await core.enrol(laptop, key)
  await core.enrol(phone, key)
  const { wireguardKey } = asker('new')
  const renewed = await core.renew({ ...laptop, wireguardKey }, organization)
  assert.equal(certificateIn(renewed.envelopes).wireguardKey, wireguardKey.publicKey)
  const stolen = core.renew({ ...laptop, wireguardKey: phone.wireguardKey }, organization)
  assert.is(await refusal(stolen), 'wireguard-key-taken')
  // The old key is free again.
  await core.renew({ ...phone, wireguardKey: laptop.wireguardKey }, organization)
})

rule('a proof is good for one renewal, also for a registry that was restarted', async () => {
  const { core, organization, key } = await scene()
  const laptop = asker('laptop')
  await core.enrol(laptop, key)
  const request = core.proof(laptop, 'renewal', organization)
  await core.renew(laptop, organization, request)
  assert.is(await refusal(core.renew(laptop, organization, request)), 'proof-replayed')
  const begin = core.clock.now()
  await core[Symbol.asyncDispose]()
  await using again = await startCore({ stateDirectory: core.stateDirectory, begin })
  assert.is(await refusal(again.renew(laptop, organization, request)), 'proof-replayed')
})

rule('proofs are forgotten only once their date refuses them', async () => {
  const { core, organization, key } = await scene()
  await using _ = core
  const laptop = asker('laptop')
  await core.enrol(laptop, key)
  const ahead = { issuedAt: seconds(core.clock.now() + 299) }
  const request = core.proof(laptop, 'renewal', organization, ahead)
  await core.renew(laptop, organization, request)
  for (let minute = 0; minute < 30; minute++) {
    core.advance(60)
    await forgetProofs(core.database, core.clock.now())
    const code = await refusal(core.renew(laptop, organization, request))
    assert.is(code, minute < 9 ? 'proof-replayed' : 'proof-not-fresh', `minute ${minute + 1}`)
  }
  assert.is((await keysUnder(core, 'proof:')).length, 0)
})

async function keysUnder(core: RegistryCore, prefix: string): Promise<string[]> {
  const found: string[] = []
  for await (const { key } of core.store.list({ gte: prefix, lt: `${prefix}\u007f` }))
    found.push(key)
  return found
}

rule('refuses a proof for another registry, another purpose, or another time', async () => {
  const { core, organization, key } = await scene()
  await using _ = core
  const laptop = asker('laptop')
  await core.enrol(laptop, key)
  const now = core.clock.now()
  const cases: [string, string][] = [
    [
      core.proof(laptop, 'renewal', organization, { audience: 'https://evil.example' }),
      'proof-invalid',
    ],
    [core.proof(laptop, 'enrolment', organization), 'proof-invalid'],
    [core.proof(laptop, 'hello', organization), 'proof-invalid'],
    [
      core.proof(laptop, 'renewal', organization, { issuedAt: seconds(now - 301) }),
      'proof-not-fresh',
    ],
    [
      core.proof(laptop, 'renewal', organization, { issuedAt: seconds(now + 301) }),
      'proof-not-fresh',
    ],
    [
      core.proof(laptop, 'renewal', organization, { wireguardKey: new Uint8Array(32) }),
      'proof-invalid',
    ],
    [core.proof(laptop, 'renewal', UNKNOWN_ORGANIZATION), 'organization-unknown'],
    [core.proof(asker('stranger'), 'renewal', organization), 'not-enrolled'],
    ['', 'proof-invalid'],
    ['%%%%', 'proof-invalid'],
    [Buffer.from(certificateBytes).toString('base64'), 'proof-invalid'],
  ]
  for (const [request, code] of cases) {
    assert.is(await refusal(core.renew(laptop, organization, request)), code)
  }
  const proof = core.proof(laptop, 'renewal', organization)
  const bytes = Buffer.from(proof, 'base64')
  for (const at of [10, 60, 120, bytes.length - 1]) {
    const flipped = Buffer.from(bytes)
    flipped[at] = (flipped[at] ?? 0) ^ 1
    const code = await refusal(core.renew(laptop, organization, flipped.toString('base64')))
    assert.match(code, /^(proof-invalid|organization-unknown)$/)
  }
})

const certificateBytes = Uint8Array.of(0x84, 0x40, 0xa0, 0x40, 0x40)

rule(
  'a device that renews without need is told to stop before revoking it would be costly',
  async () => {
    const { core, organization, key } = await scene()
    await using _ = core
    const laptop = asker('laptop')
    await core.enrol(laptop, key)
    for (let count = 1; count < 16; count++) await core.renew(laptop, organization)
    assert.is(await refusal(core.renew(laptop, organization)), 'too-many-certificates')
    core.advance(86_400)
    await core.renew(laptop, organization)
  },
)

rule.run()
