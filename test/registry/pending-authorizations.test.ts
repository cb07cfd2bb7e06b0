/** Devices and programs that wait for a person: whoever asks again and again hinders nobody for long. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { randomBytes } from '../../crypto/random.ts'
import { UNKNOWN_ORGANIZATION } from '../../protocol/proof.ts'
import { seconds } from '../../protocol/time.ts'
import { openApiTokens } from '../../registry/api-tokens.ts'
import {
  AUTHORIZATION,
  hashOf,
  LOGIN,
  PENDING,
  TOKEN,
  USER_CODE,
} from '../../registry/authorization-record.ts'
import { openDeviceAuthorizations } from '../../registry/device-authorization.ts'
import { openLogins } from '../../registry/login-authorization.ts'
import { provePossession } from '../../registry/possession.ts'
import { encodeRecord, keyOf } from '../../registry/store/collection.ts'
import { openDatabase } from '../../registry/store/database.ts'
import { openLevelStore } from '../../registry/store/level-store.ts'
import type { Commit, Store } from '../../registry/store/store.ts'
import { systemClock } from '../../registry/system-clock.ts'
import { temporaryDirectory } from '../support/registry.ts'
import { asker, PUBLIC_URL, refusal, startCore } from '../support/registry-core.ts'

const rule = suite('pending authorizations')

/** Checks that etcd makes without the lock that stops all other commits (etcd-commit.ts). */
const CHECKS = 36
const SOURCE = 'c0000201'
const OTHERS = 'c0000202'

function over(store: Store) {
  let now = systemClock.now()
  const clock = { ...systemClock, now: () => now, monotonicMs: () => now * 1000 }
  const commits: Commit[] = []
  const commit = store.commit.bind(store)
  store.commit = (wanted) => {
    commits.push(wanted)
    return commit(wanted)
  }
  const database = openDatabase(store, { clock, randomBytes })
  const parts = { database, clock, randomBytes }
  const authorizations = openDeviceAuthorizations(parts)
  const logins = openLogins({ ...parts, tokens: openApiTokens(parts) })
  return {
    ...{ store, commits, authorizations, logins },
    login: () =>
      logins.start({
        ...{ client: 'nexctl', scopes: ['read'] as const, lifetime: 3600 },
        ...{ requestedFrom: '192.0.2.1', source: SOURCE },
      }),
    advance(by: number) {
      now = seconds(now + by)
    },
  }
}

async function overLevel() {
  return over(await openLevelStore(`${await temporaryDirectory()}/store`))
}

const startDevice = (
  { authorizations }: ReturnType<typeof over>,
  { proof, clock }: Awaited<ReturnType<typeof startCore>>,
) =>
  authorizations.start({
    possession: provePossession(
      proof(asker('laptop'), 'enrolment', UNKNOWN_ORGANIZATION),
      { purpose: 'enrolment', audience: PUBLIC_URL, field: 'proof' },
      clock.now(),
    ),
    ...{ name: 'laptop', system: 'test', requestedFrom: '192.0.2.1', source: SOURCE },
  })

/** With as many devices, programs and tokens, which expire in a minute. */
async function fill(store: Store, count: number): Promise<void> {
  const expiresAt = systemClock.now() + 60
  const asked = { requestedFrom: '192.0.2.2', source: OTHERS, expiresAt }
  const decision = { kind: 'pending' } as const
  const login = { ...asked, client: 'nexctl', scopes: ['read' as const], lifetime: 3600, decision }
  const keys = { device: 'd'.repeat(52), wireguardKey: 'e'.repeat(64) }
  for (let from = 0; from < count; from += 200) {
    const puts = Array.from({ length: 200 }, (_, at) => {
      const [userCode, hash] = [`CODE-${from + at}`, hashOf(`${from + at}`)]
      const device = { ...asked, ...keys, userCode, name: 'laptop', system: 'test', decision }
      const token = { organization: 'o'.repeat(52), ...keys, owner: 'ada', expiresAt }
      return [
        { key: keyOf(AUTHORIZATION, hash), value: encodeRecord(AUTHORIZATION, device) },
        { key: keyOf(LOGIN, hash), value: encodeRecord(LOGIN, { ...login, userCode }) },
        {
          key: keyOf(USER_CODE, userCode),
          value: encodeRecord(USER_CODE, { authorization: hash }),
        },
        { key: keyOf(PENDING, `${OTHERS}/${hash}`), value: encodeRecord(PENDING, {}) },
        { key: keyOf(TOKEN, hash), value: encodeRecord(TOKEN, token) },
      ]
    }).flat()
    assert.ok((await store.commit({ puts })).ok)
  }
}

async function left(store: Store): Promise<number> {
  let count = 0
  for await (const { key } of store.list({ gte: '!', lt: '\u007f' })) if (key !== '') count++
  return count
}

rule('those that have expired make room at once, not only when they are forgotten', async () => {
  await using core = await startCore()
  const here = await overLevel()
  await using _ = here.store
  for (let count = 0; count < 32; count++) await here.login()
  for (let count = 0; count < 32; count++) await startDevice(here, core)
  assert.is(await refusal(here.login()), 'too-many-pending')
  assert.is(await refusal(startDevice(here, core)), 'too-many-pending')
  here.advance(600)
  for (let count = 0; count < 32; count++) await here.login()
  assert.is(await refusal(here.login()), 'too-many-pending')
  here.advance(300)
  await startDevice(here, core)
})

rule('no request makes a commit that stops those of others', async () => {
  await using core = await startCore()
  const here = await overLevel()
  await using _ = here.store
  for (let count = 0; count < 32; count++) await here.login()
  for (let count = 0; count < 32; count++) await startDevice(here, core)
  await refusal(here.login())
  await refusal(startDevice(here, core))
  for (const { checks = [] } of here.commits) assert.ok(checks.length <= CHECKS)
})

rule('however many have expired, commits of a bounded size delete them all', async () => {
  const here = await overLevel()
  await using _ = here.store
  await fill(here.store, 400)
  await here.login()
  here.commits.length = 0
  here.advance(60)
  await here.authorizations.forgetExpired()
  await here.logins.forgetExpired()
  assert.is(await left(here.store), 3, 'but the one that has not')
  for (const { checks = [], dels = [] } of here.commits) {
    assert.ok(checks.length <= CHECKS, `${checks.length} checks`)
    assert.ok(dels.length <= 200, `${dels.length} deletions`)
  }
})

rule.run()
