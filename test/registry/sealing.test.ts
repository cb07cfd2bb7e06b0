/** What the registry seals everybody can open, or it is refused, and nothing of it is kept. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fromBase64 } from '../../crypto/bytes.ts'
import { parsePrefix } from '../../protocol/address.ts'
import { memberOf } from '../../protocol/belief.ts'
import { openEnvelope } from '../../protocol/envelope.ts'
import type { OrganizationId } from '../../protocol/keys.ts'
import { ENVELOPE_BYTES } from '../../protocol/limits.ts'
import type { DeviceChange } from '../../registry/device-change.ts'
import { DEVICE, deviceRecordId } from '../../registry/device-record.ts'
import { rotateIssuer } from '../../registry/issuer-renewal.ts'
import { ProblemError } from '../../registry/problem.ts'
import {
  type Asker,
  asker,
  type RegistryCore,
  refusal,
  startCore,
} from '../support/registry-core.ts'

const rule = suite('sealing of certificates and manifests')

const LONG_GROUPS = Array.from({ length: 16 }, (_, index) => `${index}`.padEnd(128, 'g'))
const LONG_PREFIXES = Array.from({ length: 64 }, (_, index) =>
  parsePrefix(`2001:db8:1234:5678:9abc:def0:1234:${(0x1000 + index).toString(16)}/128`),
)

async function scene() {
  const core = await startCore()
  const organization = await core.issuing.found('Acme')
  const laptop = asker('laptop')
  await core.enrol(laptop, await core.key(organization))
  return { core, organization, laptop }
}

/** What everybody knows of the device; throws where anything of the organization cannot be opened. */
async function known(core: RegistryCore, organization: OrganizationId, { id }: Asker) {
  const state = core.hear(organization, await core.issuing.envelopes(organization))
  return memberOf(state, id, core.clock.now())
}

rule('refuses groups and prefixes of which no certificate could be read', async () => {
  const { core, organization, laptop } = await scene()
  await using _ = core
  const before = await core.database.get(DEVICE, deviceRecordId(organization, laptop.id))
  const wanted: [DeviceChange, string, RegExp][] = [
    [{ groups: LONG_GROUPS }, 'groups', /groups: have 2048 bytes, want at most 1024/],
    [{ prefixes: LONG_PREFIXES }, 'prefixes', /"laptop" would have \d+ bytes, want at most 2048/],
    [{ groups: ['a\nb'] }, '', /"laptop" could not be read: .* control characters/],
  ]
  for (const [change, field, says] of wanted) {
    const refused = await core.devices.change(organization, laptop.id, change).catch((e) => e)
    assert.instance(refused, ProblemError)
    assert.is(refused.code, 'certificate-invalid')
    assert.is(refused.field ?? '', field)
    assert.match(refused.message, says)
  }
  assert.equal(await core.database.get(DEVICE, deviceRecordId(organization, laptop.id)), before)
  assert.equal((await known(core, organization, laptop))?.certificate.groups, [])
  const key = core.key(organization, { groups: LONG_GROUPS })
  assert.is(await refusal(key), 'certificate-invalid')
})

rule('what just fits is certified again when manifests have a longer number', async () => {
  const { core, organization, laptop } = await scene()
  await using _ = core
  const prefixes = LONG_PREFIXES.slice(0, 25)
  const fixed = [...'abcd'].map((letter) => letter.repeat(110))
  const given = (length: number) => {
    const groups = [...fixed, 'g'.repeat(length)]
    return core.devices.change(organization, laptop.id, { prefixes, groups })
  }
  let length = 128
  while ((await refusal(given(length))) !== 'none') length -= 1
  const member = await known(core, organization, laptop)
  const bytes = member?.envelope.bytes.length ?? 0
  assert.ok(bytes > ENVELOPE_BYTES - 8 && bytes < ENVELOPE_BYTES, `${length}: ${bytes} bytes`)
  for (let count = 0; count < 300; count++) {
    await core.issuing.change(organization, (change) => change.publishManifest())
  }
  core.advance(60)
  const renewed = await core.renew(laptop, organization)
  assert.ok((renewed.envelopes.at(-1)?.length ?? 0) > bytes)
  await known(core, organization, laptop)
})

rule('names an owner by id whose e-mail address a certificate does not hold', async () => {
  const { core, organization } = await scene()
  await using _ = core
  const emails = [`${'x'.repeat(64)}@${'y'.repeat(180)}.example`, 'a\u0007b@example.org']
  for (const [index, email] of emails.entries()) {
    const user = await core.signIn(`user-${index}`, { email })
    await core.member(organization, `user-${index}`)
    const device = asker(`phone-${index}`)
    await core.letIn(organization, device, user)
    assert.is((await known(core, organization, device))?.certificate.owner, user)
  }
})

rule('refuses a manifest that nobody could read', async () => {
  const { core, organization, laptop } = await scene()
  await using _ = core
  const records = Array.from({ length: 256 }, (_, index) => ({
    ...{ kind: 'text' as const, name: `t${index}`, value: 'x'.repeat(250) },
  }))
  const refused = core.issuing.change(organization, async (change) => {
    change.head = { ...change.head, names: { records, forwards: [] } }
    await change.publishManifest()
  })
  assert.is(await refusal(refused), 'manifest-invalid')
  await known(core, organization, laptop)
})

rule('another issuer certifies all devices but one whose record has too much', async () => {
  const { core, organization, laptop } = await scene()
  await using _ = core
  const phone = asker('phone')
  await core.enrol(phone, await core.key(organization))
  const id = deviceRecordId(organization, laptop.id)
  // As registries stored it that did not look.
  await core.database.transact('test', async (transaction) => {
    const record = await transaction.get(DEVICE, id)
    if (record !== undefined) transaction.put(DEVICE, id, { ...record, groups: LONG_GROUPS })
  })
  await rotateIssuer(core, organization, 'at-once', core.ada())
  assert.ok(await known(core, organization, phone))
  const { certificate = '' } = (await core.database.get(DEVICE, id)) ?? {}
  assert.is.not(
    openEnvelope(fromBase64(certificate)).signer,
    (await known(core, organization, phone))?.envelope.signer,
  )
  assert.is(await refusal(core.renew(laptop, organization)), 'certificate-invalid')
})

rule.run()
