/** Names and policy never take the room of revocations: what was removed stays removed, whatever is configured. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openEnvelope } from '../../protocol/envelope.ts'
import { ISSUERS, MANIFEST_BYTES, REVOCATIONS } from '../../protocol/limits.ts'
import { policyRules } from '../../protocol/policy.ts'
import type { Head } from '../../registry/head.ts'
import {
  bytesOfNames,
  bytesOfPolicy,
  NAMES_AND_POLICY_BYTES,
  namedRendezvous,
} from '../../registry/manifest-room.ts'
import { setNames } from '../../registry/names.ts'
import type { NamesRecord } from '../../registry/names-record.ts'
import { openPolicies } from '../../registry/policy.ts'
import { POLICY } from '../../registry/policy-record.ts'
import { refusal, startCore } from '../support/registry-core.ts'

const rule = suite('room of a manifest')

/** A policy of that many rules, of about 130 bytes each. */
function policyOf(rules: number): string {
  const lines = Array.from(
    { length: rules },
    (_, index) => `      - {ip_protocol: tcp, groups: [${`${index}`.padEnd(110, 'x')}]}`,
  )
  return `version: 1\nsecurity_groups:\n  "*":\n    inbound_rules:\n${lines.join('\n')}\n`
}

/** Names of exactly so many bytes. */
function namesOf(bytes: number): NamesRecord {
  const record = (index: number, length: number) => ({
    ...{ kind: 'text' as const, name: `t${index}`, value: 'x'.repeat(length) },
  })
  const records: ReturnType<typeof record>[] = []
  const left = () => bytes - bytesOfNames({ records, forwards: [] })
  while (left() > 250) records.push(record(records.length, 150))
  for (let length = 250; length > 25; length -= 1) {
    const names = { records: [...records, record(records.length, length)], forwards: [] }
    if (bytesOfNames(names) === bytes) return names
  }
  throw new Error(`no names of ${bytes} bytes`)
}

async function scene() {
  const core = await startCore()
  const organization = await core.issuing.found('字'.repeat(64))
  const policies = openPolicies(core)
  const save = (text: string, revision: number) =>
    policies.save(organization, core.ada(), { text, revision })
  const name = (names: NamesRecord) => setNames(core.issuing, organization, names, core.ada())
  const ofPolicy = async () => bytesOfPolicy(await core.database.get(POLICY, organization))
  return { core, organization, policies, save, name, ofPolicy }
}

/** As manifests name them, of more registries than there may be. */
const rendezvousOf = (characters: number) =>
  namedRendezvous(
    Array.from({ length: 20 }, (_, index) => ({
      multiaddrs: [0, 1, 2, 3, 4, 5].map((at) => `/dns/${index}.${at}`.padEnd(characters, 'x')),
      stun: ['192.0.2.1:34780', '[2001:db8::1]:34780'],
    })),
  )
const RENDEZVOUS = rendezvousOf(75)

function crowded(head: Head): Head {
  const former = { ...head.issuer, until: head.issuer.notAfter }
  const formerIssuers = Array.from({ length: ISSUERS - 1 }, () => former)
  const rendezvous = RENDEZVOUS.map(({ multiaddrs, stun }) => ({
    ...{ multiaddrs: [...multiaddrs], stun: [...stun] },
  }))
  return { ...head, formerIssuers, rendezvous }
}

rule('all revocations fit beside the most of everything else', async () => {
  const { core, organization, save, name, ofPolicy } = await scene()
  await using _ = core
  assert.equal([RENDEZVOUS.length, rendezvousOf(150).length], [8, 4])
  await save(policyOf(150), 0)
  await name(namesOf(NAMES_AND_POLICY_BYTES - (await ofPolicy())))
  const revoked = Array.from({ length: REVOCATIONS }, (_, index) => ({
    serial: index.toString(16).padStart(16, '0'),
    notAfter: (core.clock.now() + 3600) as never,
  }))
  await core.issuing.change(organization, async (change) => {
    change.head = crowded(change.head)
    await change.publishManifest(revoked)
  })
  const manifest = openEnvelope((await core.issuing.foundation(organization)).at(-1) as Uint8Array)
  if (manifest.kind !== 'manifest') throw new Error(manifest.kind)
  const { revocations, policy, names, issuers } = manifest.body
  assert.is(revocations.size, REVOCATIONS)
  assert.is(policyRules(policy)?.rules.length, 150)
  assert.ok(names.records.length > 20)
  assert.is(issuers.length, ISSUERS)
  const spare = MANIFEST_BYTES - manifest.bytes.length
  assert.ok(spare >= 0 && spare < 1000, `${spare} bytes spare`)
})

rule('names are refused that take it beside the policy', async () => {
  const { core, save, name, ofPolicy } = await scene()
  await using _ = core
  await save(policyOf(150), 0)
  const most = NAMES_AND_POLICY_BYTES - (await ofPolicy())
  const refused = await name(namesOf(most + 1)).catch((error) => error)
  assert.is(refused.code, 'names-invalid')
  assert.match(refused.message, new RegExp(`names take ${most + 1} bytes and the policy `))
  await name(namesOf(most))
})

rule('a policy is refused that takes it beside the names, and the check says so', async () => {
  const { core, organization, policies, save, name, ofPolicy } = await scene()
  await using _ = core
  await name(namesOf(20_000))
  const refused = await save(policyOf(100), 0).catch((error) => error)
  assert.is(refused.code, 'policy-invalid')
  assert.match(refused.message, /names take 20000 bytes and the policy /)
  assert.is(await ofPolicy(), 0)
  const { mistakes } = await policies.check(organization, { text: policyOf(100) })
  assert.match(String(mistakes), /names take 20000 bytes and the policy /)
  assert.is(await refusal(save(policyOf(30), 0)), 'none')
})

rule('names count by their bytes, not by their characters', async () => {
  const { core, name } = await scene()
  await using _ = core
  const records = Array.from({ length: 110 }, (_, index) => ({
    ...{ kind: 'text' as const, name: `t${index}`, value: '字'.repeat(80) },
  }))
  assert.is(await refusal(name({ records, forwards: [] })), 'names-invalid')
})

rule.run()
