import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { toBase64 } from '../../crypto/bytes.ts'
import { memberOf } from '../../protocol/belief.ts'
import { UNKNOWN_ORGANIZATION } from '../../protocol/proof.ts'
import { approveDevice } from '../../registry/approval.ts'
import { enrol } from '../../registry/enrolment.ts'
import { provePossession } from '../../registry/possession.ts'
import { drawUserCode, readUserCode } from '../../registry/user-code.ts'
import {
  type Asker,
  asker,
  PUBLIC_URL,
  type RegistryCore,
  refusal,
  startCore,
} from '../support/registry-core.ts'

const rule = suite('device authorization (RFC 8628)')

function start(core: RegistryCore, by: Asker, source = 'c0000201', proof?: string) {
  const wanted = { purpose: 'enrolment', audience: PUBLIC_URL, field: 'proof' } as const
  const text = proof ?? core.proof(by, 'enrolment', UNKNOWN_ORGANIZATION)
  return core.authorizations.start({
    possession: provePossession(text, wanted, core.clock.now()),
    name: by.name,
    system: 'test',
    requestedFrom: '192.0.2.1',
    source,
  })
}

async function approved(core: RegistryCore, by: Asker) {
  const organization = await core.issuing.found('Acme')
  const { userCode, deviceCode } = await start(core, by)
  assert.ok(
    await approveDevice(
      core,
      userCode,
      organization,
      core.as(await core.member(organization, 'ada')),
    ),
  )
  core.advance(2)
  const answer = await core.authorizations.poll(deviceCode)
  if (answer.kind !== 'token') throw new Error(answer.kind)
  return { organization, deviceCode, token: answer.token }
}

function enrolWith(core: RegistryCore, by: Asker, token: string) {
  return enrol(
    { ...core, publicUrl: PUBLIC_URL },
    {
      credential: { token },
      deviceKey: toBase64(by.deviceKey.publicKey),
      wireguardKey: toBase64(by.wireguardKey.publicKey),
      name: by.name,
      system: 'test',
      requestedAddress: undefined,
      proof: core.proof(by, 'enrolment', UNKNOWN_ORGANIZATION),
    },
    core.ada(),
  )
}

rule('a user code is 8 consonants, read in any spelling', () => {
  let drawn = 0
  const code = drawUserCode((length) => new Uint8Array(length).fill(drawn++ * 7))
  assert.match(code, /^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$/)
  for (const typed of [
    code,
    code.toLowerCase(),
    code.replace('-', ''),
    ` ${code.replace('-', ' ')} `,
  ]) {
    assert.is(readUserCode(typed), code)
  }
  for (const typed of ['', 'BCDF', 'AEIO-UYAE', 'BCDF-GHJK-L', '1234-5678']) {
    assert.is(readUserCode(typed), undefined)
  }
})

rule(
  'letters of a user code are equally likely: bytes that would favour some are drawn again',
  () => {
    const bytes = [255, 240, 239, 0, 20, 40, 60, 80, 100, 120]
    const code = drawUserCode(() => Uint8Array.of(bytes.shift() ?? 0))
    assert.is(code, 'ZBBB-BBBB')
  },
)

rule('a device that was approved enrols once with its token, owned by who approved', async () => {
  await using core = await startCore()
  const laptop = asker('laptop')
  const { organization, token } = await approved(core, laptop)
  const { envelopes } = await enrolWith(core, laptop, token)
  const state = core.hear(organization, envelopes)
  assert.is(memberOf(state, laptop.id, core.clock.now())?.certificate.owner, 'ada@example.org')
  assert.is(await refusal(enrolWith(core, laptop, token)), 'token-refused')
})

rule('a token is of no use to a device with another key', async () => {
  await using core = await startCore()
  const laptop = asker('laptop')
  const { token } = await approved(core, laptop)
  const thief = asker('laptop')
  assert.is(await refusal(enrolWith(core, thief, token)), 'token-refused')
  const half = { ...thief, wireguardKey: thief.wireguardKey, deviceKey: laptop.deviceKey }
  assert.is(await refusal(enrolWith(core, half, token)), 'token-refused')
  const otherHalf = { ...thief, wireguardKey: laptop.wireguardKey }
  assert.is(await refusal(enrolWith(core, otherHalf, token)), 'token-refused')
  await enrolWith(core, laptop, token)
})

rule('a token ends after 5 minutes, and the decision is told once', async () => {
  await using core = await startCore()
  const laptop = asker('laptop')
  const { token, deviceCode } = await approved(core, laptop)
  core.advance(10)
  assert.equal(await core.authorizations.poll(deviceCode), { kind: 'unknown' })
  core.advance(300)
  assert.is(await refusal(enrolWith(core, laptop, token)), 'token-refused')
})

rule('who asks too soon must ask more slowly from then on', async () => {
  await using core = await startCore()
  const { deviceCode, interval } = await start(core, asker('laptop'))
  const ask = async () => (await core.authorizations.poll(deviceCode)).kind
  assert.is(await ask(), 'pending')
  assert.is(await ask(), 'too-soon')
  core.advance(interval)
  assert.is(await ask(), 'too-soon')
  core.advance(interval + 5)
  assert.is(await ask(), 'too-soon', 'twice too soon is twice as slow')
  core.advance(interval + 15)
  assert.is(await ask(), 'pending')
})

rule('nobody may decide after 15 minutes', async () => {
  await using core = await startCore()
  const organization = await core.issuing.found('Acme')
  const { deviceCode, userCode } = await start(core, asker('laptop'))
  core.advance(900)
  assert.equal(await core.authorizations.poll(deviceCode), { kind: 'expired' })
  assert.is(await core.authorizations.find(userCode), undefined)
  assert.is(
    await approveDevice(
      core,
      userCode,
      organization,
      core.as(await core.member(organization, 'ada')),
    ),
    undefined,
  )
  assert.is(await core.authorizations.deny(userCode), false)
  await core.authorizations.forgetExpired()
  assert.equal(await core.authorizations.poll(deviceCode), { kind: 'unknown' })
})

rule('a device that was denied hears it once, and no token', async () => {
  await using core = await startCore()
  const organization = await core.issuing.found('Acme')
  const { deviceCode, userCode } = await start(core, asker('laptop'))
  assert.is(await core.authorizations.deny(userCode), true)
  assert.is(
    await approveDevice(
      core,
      userCode,
      organization,
      core.as(await core.member(organization, 'ada')),
    ),
    undefined,
  )
  assert.equal(await core.authorizations.poll(deviceCode), { kind: 'denied' })
  assert.equal(await core.devices.list(organization), [])
})

rule('two people who decide at once decide once', async () => {
  await using core = await startCore()
  const [acme, umbrella] = [await core.issuing.found('Acme'), await core.issuing.found('Umbrella')]
  const [ada, bob] = [await core.member(acme, 'ada'), await core.member(umbrella, 'bob')]
  const { userCode } = await start(core, asker('laptop'))
  const outcomes = await Promise.all([
    approveDevice(core, userCode, acme, core.as(ada)),
    approveDevice(core, userCode, umbrella, core.as(bob)),
    core.authorizations.deny(userCode),
  ])
  assert.is(outcomes.filter(Boolean).length, 1)
  const made = [...(await core.devices.list(acme)), ...(await core.devices.list(umbrella))]
  assert.is(made.length, outcomes[2] ? 0 : 1)
})

rule('at most 64 devices of one address wait, and a decision makes room', async () => {
  await using core = await startCore()
  let last = ''
  for (let count = 0; count < 64; count++) {
    last = (await start(core, asker(`device-${count}`))).userCode
  }
  assert.is(await refusal(start(core, asker('one-more'))), 'too-many-pending')
  await start(core, asker('elsewhere'), 'c0000202')
  await core.authorizations.deny(last)
  await start(core, asker('one-more'))
  assert.is(await refusal(start(core, asker('and-more'))), 'too-many-pending')
})

rule('a proof is good for one request', async () => {
  await using core = await startCore()
  const laptop = asker('laptop')
  const proof = core.proof(laptop, 'enrolment', UNKNOWN_ORGANIZATION)
  await start(core, laptop, 'c0000201', proof)
  assert.is(await refusal(start(core, laptop, 'c0000201', proof)), 'proof-replayed')
})

rule('a device with the WireGuard key of another is not approved', async () => {
  await using core = await startCore()
  const laptop = asker('laptop')
  const { organization, token } = await approved(core, laptop)
  await enrolWith(core, laptop, token)
  const copy = { ...asker('copy'), wireguardKey: laptop.wireguardKey }
  const { userCode } = await start(core, copy)
  const answer = refusal(
    approveDevice(core, userCode, organization, core.as(await core.member(organization, 'ada'))),
  )
  assert.is(await answer, 'wireguard-key-taken')
  assert.ok(await core.authorizations.find(userCode), 'and still waits')
})

rule('what is stored tells no secret', async () => {
  await using core = await startCore()
  const { deviceCode } = await start(core, asker('laptop'))
  const { token } = await approved(core, asker('phone'))
  const key = await core.key(await core.issuing.found('Acme'))
  for await (const { key: name, value } of core.store.list({ gte: '!', lt: '\u007f' })) {
    const text = name + new TextDecoder().decode(value)
    for (const secret of [deviceCode, token, key]) assert.not.ok(text.includes(secret), name)
  }
})

rule.run()
