import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parsePrefix } from '../../protocol/address.ts'
import { verifyAuditLog } from '../../protocol/audit-log.ts'
import { approveDevice } from '../../registry/approval.ts'
import {
  type AuditEntry,
  audit,
  auditHead,
  auditLines,
  auditPage,
  difference,
} from '../../registry/audit.ts'
import { PAGE_LIMIT } from '../../registry/page.ts'
import { ADA, asker, type RegistryCore, startCore } from '../support/registry-core.ts'

const rule = suite('audit log of the registry')

async function linesOf(core: RegistryCore, organization: string): Promise<string[]> {
  const lines: string[] = []
  for await (const line of auditLines(core.database, organization as never)) lines.push(line)
  return lines
}

const entriesOf = async (core: RegistryCore, organization: string) =>
  (await linesOf(core, organization)).map((line) => JSON.parse(line) as AuditEntry)

rule('enters who changed what, from what to what, and when', async () => {
  await using core = await startCore()
  const organization = await core.issuing.found('acme')
  const laptop = asker('laptop')
  await core.enrol(laptop, await core.key(organization))
  const prefixes = [parsePrefix('10.99.0.0/24')]
  await core.devices.change(organization, laptop.id, { name: 'lap', prefixes })
  await core.devices.remove(organization, laptop.id)
  const entries = await entriesOf(core, organization)
  assert.equal(
    entries.map(({ sequence, action, who }) => [sequence, action, who.kind]),
    [
      [1, 'registration-key.created', 'user'],
      [2, 'device.enrolled', 'device'],
      [3, 'device.changed', 'user'],
      [4, 'device.removed', 'user'],
    ],
  )
  const [made, enrolled, changed] = entries
  assert.is(made?.who.kind === 'user' && made.who.user, ADA)
  assert.equal(enrolled?.who, { kind: 'device', device: laptop.id })
  assert.is(changed?.at, core.clock.now())
  assert.is(changed?.subject, laptop.id)
  assert.equal(changed?.before, { name: 'laptop', prefixes: [] })
  assert.equal(changed?.after, { name: 'lap', prefixes: ['10.99.0.0/24'] })
})

rule('what is refused is not entered, and what is done is entered once', async () => {
  await using core = await startCore()
  const organization = await core.issuing.found('acme')
  const laptop = asker('laptop')
  await core.enrol(laptop, await core.key(organization))
  const before = await linesOf(core, organization)
  const prefixes = [parsePrefix('100.64.0.0/24')]
  await core.devices.change(organization, laptop.id, { prefixes }).catch(() => undefined)
  await core.devices.change(organization, 'nobody', { prefixes })
  await core.registrationKeys.revoke(organization, 'none')
  await core.enrol(asker('x'), 'nrk_none').catch(() => undefined)
  await approveDevice(core, 'BCDF-GHJK', organization, core.ada())
  assert.equal(await linesOf(core, organization), before)
  await Promise.all([1, 2, 3, 4].map(() => core.devices.remove(organization, laptop.id)))
  assert.is((await linesOf(core, organization)).length, before.length + 1)
})

rule('no secret is entered', async () => {
  await using core = await startCore()
  const organization = await core.issuing.found('acme')
  const key = await core.key(organization)
  await core.enrol(asker('laptop'), key)
  const text = (await linesOf(core, organization)).join('\n')
  assert.not.match(text, 'nrk_')
  assert.not.match(text, key.slice(4))
})

rule(
  'is one chain without gaps, whoever writes at once, and apart for each organization',
  async () => {
    await using core = await startCore()
    const acme = await core.issuing.found('acme')
    const umbrella = await core.issuing.found('umbrella')
    await Promise.all(
      [acme, umbrella].flatMap((organization) =>
        Array.from({ length: 20 }, () => core.key(organization)),
      ),
    )
    for (const organization of [acme, umbrella]) {
      const verdict = await verifyAuditLog(await linesOf(core, organization))
      const head = await auditHead(core.database, organization)
      assert.equal(verdict, { ok: true, entries: 20, first: 1, last: 20, hash: head.hash })
      assert.is(head.sequence, 20)
    }
  },
)

rule('is read in pages, from either end', async () => {
  await using core = await startCore()
  const organization = await core.issuing.found('acme')
  for (let count = 0; count < 7; count++) await core.key(organization)
  for (const reverse of [false, true]) {
    const found: number[] = []
    let cursor: string | undefined
    do {
      const wanted = { limit: 3, reverse, ...(cursor !== undefined && { cursor }) }
      const page = await auditPage(core.database, organization, wanted)
      found.push(...page.items.map(({ sequence }) => sequence))
      cursor = page.next
    } while (cursor !== undefined)
    const forward = [1, 2, 3, 4, 5, 6, 7]
    assert.equal(found, reverse ? forward.toReversed() : forward)
  }
})

rule('a cursor of another list is refused', async () => {
  await using core = await startCore()
  const acme = await core.issuing.found('acme')
  const umbrella = await core.issuing.found('umbrella')
  for (const organization of [acme, acme, umbrella]) await core.key(organization)
  const { next = '' } = await auditPage(core.database, acme, { limit: 1 })
  for (const cursor of [
    next,
    'x',
    '====',
    'AAAA',
    Buffer.from(`${umbrella}/ü`).toString('base64url'),
  ]) {
    const wanted = { limit: PAGE_LIMIT.usual, cursor }
    const refused = await auditPage(core.database, umbrella, wanted).catch(
      (error: unknown) => error,
    )
    assert.is((refused as { code?: string }).code, 'cursor-invalid', cursor)
  }
})

rule('what is too long is entered by its hash', async () => {
  await using core = await startCore()
  const organization = await core.issuing.found('acme')
  await core.database.transact(organization, (transaction) =>
    audit(transaction, organization, core.ada(), {
      action: 'policy.changed',
      after: { rules: 'x'.repeat(5000) },
    }),
  )
  const [entry] = await entriesOf(core, organization)
  assert.equal(Object.keys(entry?.after ?? {}), ['characters', 'sha256'])
})

rule('a difference has the fields that differ, of both', () => {
  const before = { name: 'a', groups: ['x'], roles: [] }
  assert.equal(difference(before, { ...before, groups: ['y'] }), {
    before: { groups: ['x'] },
    after: { groups: ['y'] },
  })
})

rule.run()
