import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { currentManifest } from '../../protocol/belief.ts'
import { openEnvelope } from '../../protocol/envelope.ts'
import { parseOrganizationId } from '../../protocol/keys.ts'
import { extraRecord, forward, NO_NAMES } from '../../protocol/organization-names.ts'
import { apply, emptyState } from '../../protocol/state.ts'
import { seconds } from '../../protocol/time.ts'
import { byRegistry } from '../../registry/act.ts'
import { NAMES_BYTES, namesIn, setNames } from '../../registry/names.ts'
import type { NamesRecord } from '../../registry/names-record.ts'
import { type Browser, organizationsOf } from '../../simulations/lab/login.ts'
import { startTestRegistry } from '../support/registry.ts'
import { startCore } from '../support/registry-core.ts'

const NAMES: NamesRecord = {
  records: [
    { kind: 'address', name: 'db', value: '10.99.0.1' },
    { kind: 'address', name: 'db', value: 'fd00::9' },
    { kind: 'alias', name: 'www', value: 'db' },
    { kind: 'text', name: '', value: 'hello' },
  ],
  forwards: [{ domain: 'corp.example', resolvers: ['10.0.0.53:53'] }],
}

const BY = byRegistry(seconds(0))
const rule = suite('names of an organization in the registry')

rule('go into the next manifest, and stay in those that follow', async () => {
  await using core = await startCore()
  const organization = await core.issuing.found('acme')
  const manifest = async () => {
    const envelopes = (await core.issuing.foundation(organization)).map((bytes) =>
      openEnvelope(bytes),
    )
    const state = envelopes.reduce(
      (known, each) => apply(known, each, core.clock.now()).state,
      emptyState(organization),
    )
    const body = currentManifest(state, core.clock.now())?.body
    if (body === undefined) throw new Error('no manifest')
    return body
  }
  const first = await manifest()
  assert.equal(first.names, NO_NAMES)
  await setNames(core.issuing, organization, NAMES, BY)
  const second = await manifest()
  assert.is(second.sequence, first.sequence + 1)
  assert.equal(second.names, {
    records: [
      extraRecord('address', 'db', '10.99.0.1'),
      extraRecord('address', 'db', 'fd00::9'),
      extraRecord('alias', 'www', 'db'),
      extraRecord('text', '', 'hello'),
    ],
    forwards: [forward('corp.example', ['10.0.0.53:53'])],
  })
  await setNames(core.issuing, organization, NAMES, BY)
  assert.is((await manifest()).sequence, second.sequence)
  await core.issuing.change(organization, (change) => change.publishManifest())
  assert.equal((await manifest()).names, second.names)
  await setNames(core.issuing, organization, { records: [], forwards: [] }, BY)
  assert.equal((await manifest()).names, NO_NAMES)
})

rule(
  'are refused, and nothing is changed, where they contradict themselves or are too many',
  async () => {
    await using core = await startCore()
    const organization = await core.issuing.found('acme')
    await setNames(core.issuing, organization, NAMES, BY)
    const [db] = NAMES.records
    assert.ok(db !== undefined)
    const bad: [Partial<NamesRecord>, RegExp][] = [
      [{ records: [db, db] }, /"db" is there twice/],
      [{ records: [db, { ...db, kind: 'alias', value: 'x' }] }, /"db" is an alias, and has other/],
      [{ records: [{ ...db, name: '-x' }] }, /no domain name/],
      [{ records: [{ ...db, value: 'nonsense' }] }, /IP address "nonsense"/],
      [{ forwards: [...NAMES.forwards, ...NAMES.forwards] }, /"corp.example" is there twice/],
      [{ forwards: [{ domain: 'com', resolvers: ['10.0.0.1:53'] }] }, /two labels at least/],
      [
        {
          records: Array.from({ length: 120 }, (_, index) => ({
            kind: 'text' as const,
            name: `t${index}`,
            value: 'x'.repeat(200),
          })),
        },
        new RegExp(`bytes, want at most ${NAMES_BYTES}`),
      ],
    ]
    for (const [change, says] of bad) {
      try {
        await setNames(core.issuing, organization, { records: [], forwards: [], ...change }, BY)
        assert.unreachable(String(says))
      } catch (error) {
        assert.match(String(error), says)
      }
    }
    assert.equal(await namesIn(core.database, organization), NAMES)
  },
)

rule('of an organization that there is not cannot be set', async () => {
  await using core = await startCore()
  const nobody = parseOrganizationId(`${'a'.repeat(25)}a`)
  try {
    await setNames(core.issuing, nobody, NAMES, BY)
    assert.unreachable()
  } catch (error) {
    assert.match(String(error), /no organization/)
  }
})

async function ask(browser: Browser, method: string, path: string, body?: unknown) {
  const response = await browser.fetch(`/v1/${path}`, {
    method,
    headers: { 'content-type': 'application/json', origin: browser.baseUrl },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  return { status: response.status, json: await response.json() }
}

rule('are read and replaced by the API, by members alone', async () => {
  await using registry = await startTestRegistry()
  const ada = await registry.ada()
  const [organization = ''] = await organizationsOf(ada)
  const path = `organizations/${organization}/names`
  assert.equal((await ask(ada, 'GET', path)).json, { records: [], forwards: [] })
  assert.equal(await ask(ada, 'PUT', path, NAMES), { status: 200, json: NAMES })
  assert.equal((await ask(ada, 'GET', path)).json, NAMES)
  assert.is(
    (await ask(ada, 'PUT', path, { records: [{ kind: 'x', name: '', value: '' }] })).status,
    400,
  )
  assert.is((await ask(ada, 'PUT', path, { records: [], more: 1 })).status, 400)
  assert.is((await ask(ada, 'PUT', `organizations/${'a'.repeat(26)}/names`, NAMES)).status, 404)
  assert.equal((await ask(ada, 'GET', path)).json, NAMES)
})

rule.run()
