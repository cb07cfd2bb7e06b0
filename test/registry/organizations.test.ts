import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { randomBytes } from '../../crypto/random.ts'
import { generateSigningKeyPair } from '../../crypto/signing.ts'
import { organizationIdOf } from '../../protocol/keys.ts'
import {
  type FoundOrganization,
  organizationFor,
  organizationsOf,
  userIdOf,
  users,
  welcome,
} from '../../registry/organizations.ts'
import { ProblemError } from '../../registry/problem.ts'
import { type Database, openDatabase } from '../../registry/store/database.ts'
import { openLevelStore } from '../../registry/store/level-store.ts'
import { systemClock as clock } from '../../registry/system-clock.ts'
import { temporaryDirectory } from '../support/registry.ts'

const rule = suite('organizations')

async function withDatabase(body: (database: Database, found: FoundOrganization) => Promise<void>) {
  await using store = await openLevelStore(await temporaryDirectory())
  const database = openDatabase(store, { clock, randomBytes })
  await body(database, async (_name, also) => {
    const organization = organizationIdOf(generateSigningKeyPair<'root'>().publicKey)
    await database.transact(organization, (transaction) => also(transaction, organization))
    return organization
  })
}

const ADA = { issuer: 'https://id.example', subject: 'ada', email: 'ada@example.org' }

rule('a user is an issuer and a subject, whatever the e-mail address', () =>
  withDatabase(async (database, found) => {
    const ada = await welcome({ database, clock }, ADA, found)
    assert.is(
      await welcome({ database, clock }, { ...ADA, email: 'lovelace@example.org' }, found),
      ada,
    )
    assert.is((await database.get(users, ada))?.email, 'lovelace@example.org')
    assert.not.equal(userIdOf({ ...ADA, issuer: 'https://other.example' }), ada)
    assert.not.equal(
      userIdOf({ issuer: 'a', subject: 'b/c' }),
      userIdOf({ issuer: 'a/b', subject: 'c' }),
    )
  }),
)

rule('a user gets one organization, also by many first sign-ins at once', () =>
  withDatabase(async (database, found) => {
    const signIns = Array.from({ length: 8 }, () => welcome({ database, clock }, ADA, found))
    const [ada] = await Promise.all(signIns)
    const own = await organizationsOf(database, ada ?? userIdOf(ADA))
    assert.equal(
      own.map(({ name }) => name),
      ['ada'],
    )
  }),
)

rule(
  'an organization is named after the e-mail’s local part, else the subject, in plain characters',
  () =>
    withDatabase(async (database, found) => {
      const names = async (signIn: Parameters<typeof welcome>[1]) =>
        (await organizationsOf(database, await welcome({ database, clock }, signIn, found)))[0]
          ?.name
      assert.is(await names({ issuer: 'i', subject: 's-1' }), 's-1')
      assert.is(
        await names({ issuer: 'i', subject: 's-2', email: '<Ünal>.x@example.org' }),
        'Ünal.x',
      )
      assert.is(await names({ issuer: 'i', subject: '<>' }), 'user')
    }),
)

rule('an organization is found by its members, and by nobody else', () =>
  withDatabase(async (database, found) => {
    const ada = await welcome({ database, clock }, ADA, found)
    const bob = await welcome({ database, clock }, { issuer: 'i', subject: 'bob' }, found)
    const [own] = await organizationsOf(database, ada)
    assert.equal(await organizationFor(database, ada, own?.id ?? ''), own)
    for (const id of [own?.id ?? '', 'a'.repeat(26), '', 'x/y', `${own?.id}/${bob}`]) {
      const error = await organizationFor(database, bob, id).catch((e: unknown) => e)
      assert.instance(error, ProblemError)
      assert.is((error as ProblemError).status, 404)
    }
  }),
)

rule.run()
