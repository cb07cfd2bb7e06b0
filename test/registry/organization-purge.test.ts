/** A purge that is cut off leaves a store with which registries start, and goes on where it was. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { randomBytes } from '../../crypto/random.ts'
import type { OrganizationId } from '../../protocol/keys.ts'
import { openIssuing } from '../../registry/issuing.ts'
import { type PurgeParts, purgeOrganizations } from '../../registry/organization-purge.ts'
import { Organizations } from '../../registry/rendezvous/organizations.ts'
import { StoreError } from '../../registry/store/store.ts'
import { asker, type RegistryCore, startCore } from '../support/registry-core.ts'

const rule = suite('purge of an organization, cut off')

/** One organization that is due to be purged, and another one. */
async function scene() {
  const core = await startCore()
  const ada = await core.signIn('ada')
  const organization = await core.lifecycle.create(ada, { name: 'Acme' })
  const other = await core.issuing.found('Umbrella')
  await core.enrol(asker('laptop'), await core.key(organization))
  await core.lifecycle.delete(organization, ada, true)
  core.advance(86_400)
  return { core, organization, other }
}

/** The process ends after so many steps. */
function cutAfter(core: RegistryCore, steps: number): PurgeParts & { readonly done: () => number } {
  let done = 0
  const step = async <T>(body: () => Promise<T>): Promise<T> => {
    if (done === steps) throw new StoreError('the process has ended')
    done += 1
    return body()
  }
  const { database, issuing } = core
  return {
    ...core,
    database: { ...database, transact: (of, body) => step(() => database.transact(of, body)) },
    issuing: {
      organizations: () => issuing.organizations(),
      keys: { ...issuing.keys, forget: (of) => step(() => issuing.keys.forget(of)) },
    },
    done: () => done,
  }
}

/** As after a restart: no key is known yet. */
async function startAgain(core: RegistryCore): Promise<Organizations> {
  const issuing = await openIssuing({ ...core, randomBytes })
  const organizations = new Organizations({ ...core, issuing })
  await organizations.load()
  await issuing.setRendezvous([{ multiaddrs: [], stun: ['192.0.2.1:3478'] }])
  await organizations.stop()
  return organizations
}

async function leftOf({ store }: RegistryCore, organization: OrganizationId) {
  const left: string[] = []
  for await (const { key, value } of store.list({ gte: '!', lt: '\u007f' })) {
    // The audit log is for ever.
    if (key.startsWith('audit')) continue
    if (`${key} ${Buffer.from(value)}`.includes(organization)) left.push(key)
  }
  return left
}

const STEPS = 7

for (let steps = 0; steps < STEPS; steps++) {
  rule(`after ${steps} of ${STEPS} steps`, async () => {
    const { core, organization, other } = await scene()
    await using _ = core
    const cut = cutAfter(core, steps)
    const error = await purgeOrganizations(cut).catch((thrown) => thrown)
    assert.instance(error, StoreError)
    assert.is(cut.done(), steps)
    assert.ok((await startAgain(core)).has(other))
    assert.equal(
      core.logged.filter(({ level }) => level === 'error'),
      [],
    )
    await purgeOrganizations(core)
    assert.equal(await leftOf(core, organization), [])
    assert.is(await core.issuing.keys.root(organization), undefined)
  })
}

rule('and not at all', async () => {
  const { core, organization } = await scene()
  await using _ = core
  const cut = cutAfter(core, STEPS)
  await purgeOrganizations(cut)
  assert.is(cut.done(), STEPS)
  assert.equal(await leftOf(core, organization), [])
})

rule.run()
