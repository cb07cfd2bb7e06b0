import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { randomBytes } from '../../crypto/random.ts'
import type { Rendezvous } from '../../protocol/manifest.ts'
import { observe, startPresence } from '../../registry/presence.ts'
import { type Database, openDatabase } from '../../registry/store/database.ts'
import { openLevelStore } from '../../registry/store/level-store.ts'
import { systemClock } from '../../registry/system-clock.ts'
import { temporaryDirectory } from '../support/registry.ts'

const rule = suite('presence of registries')
const MINUTE = 60_000

rule('holds silent whose beat has not changed for five minutes of our own clock', () => {
  const at = (
    minutes: number,
    before: Parameters<typeof observe>[0],
    beats: Record<string, number>,
  ) => {
    const records = Object.entries(beats).map(([id, beat]) => ({ id, beat: String(beat) }))
    return observe(before, records, minutes * MINUTE)
  }
  const first = at(0, new Map(), { a: 1, b: 1 })
  assert.equal(first.silent, [])
  const later = at(4, first.observed, { a: 2, b: 1 })
  assert.equal(later.silent, [])
  assert.equal(at(5, later.observed, { a: 2, b: 1 }).silent, ['b'])
  assert.equal(at(9, later.observed, { a: 2, b: 5 }).silent, ['a'])
  // However old the record is by the other's clock: whoever has just started has heard nothing yet.
  assert.equal(at(0, new Map(), { ancient: 1 }).silent, [])
  // Who is gone is forgotten, so that it may come back.
  const without = at(6, later.observed, { a: 3 })
  assert.equal([...without.observed.keys()], ['a'])
  assert.equal(at(7, without.observed, { a: 4, b: 1 }).silent, [])
})

/** A clock whose timers a test sets off. */
function handClock() {
  const tasks = new Set<() => void>()
  let nowMs = 1_000_000
  return {
    ...systemClock,
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    every(_ms: number, task: () => void) {
      tasks.add(task)
      return { cancel: () => void tasks.delete(task) }
    },
    pass(minutes: number) {
      for (let n = 0; n < minutes; n++) {
        nowMs += MINUTE
        for (const task of tasks) task()
      }
    },
    count: () => tasks.size,
  }
}

async function newDatabase() {
  const store = await openLevelStore(await temporaryDirectory())
  return openDatabase(store, { clock: systemClock, randomBytes })
}

/** @param failures times that one manifest cannot be changed */
async function started(database: Database, id: string, publicUrl: string, failures = 0) {
  const clock = handClock()
  const manifests: (readonly Rendezvous[])[] = []
  const logged: string[] = []
  const presence = await startPresence({
    ...{ database, clock, randomBytes, id, publicUrl },
    rendezvous: { multiaddrs: [`/ip4/192.0.2.1/tcp/4001/p2p/${id}`], stun: ['192.0.2.1:3478'] },
    issuing: { setRendezvous: async (wanted) => manifests.push(wanted) > failures },
    log: (_level, event) => void logged.push(event),
  })
  return { presence, clock, manifests, logged, id }
}

const ids = (rendezvous: readonly Rendezvous[] | undefined) =>
  rendezvous?.map(({ multiaddrs: [first] }) => first?.split('/').at(-1))

async function until(holds: () => boolean): Promise<void> {
  for (let turn = 0; turn < 1000 && !holds(); turn++) await systemClock.sleep(5)
}

rule('puts every registry that runs into manifests, and tells the URLs of all', async () => {
  const database = await newDatabase()
  const a = await started(database, 'a', 'https://a.example')
  assert.equal(ids(a.manifests.at(-1)), ['a'])
  const b = await started(database, 'b', 'https://b.example')
  assert.equal(ids(b.manifests.at(-1)), ['a', 'b'])
  await until(() => a.manifests.length === 2)
  assert.equal(ids(a.manifests.at(-1)), ['a', 'b'])
  assert.equal(a.presence.urls(), ['https://a.example', 'https://b.example'])
  assert.equal(b.presence.urls(), ['https://b.example', 'https://a.example'])
  await a.presence[Symbol.asyncDispose]()
  await b.presence[Symbol.asyncDispose]()
  await database.store[Symbol.asyncDispose]()
})

rule(
  'forgets a registry that was killed after five minutes, and no manifest changes before',
  async () => {
    const database = await newDatabase()
    const dead = await started(database, 'dead', 'https://dead.example')
    await dead.presence[Symbol.asyncDispose]()
    const a = await started(database, 'a', 'https://a.example')
    const settled = async (minutes: number) => {
      a.clock.pass(minutes)
      await systemClock.sleep(100)
    }
    await settled(4)
    assert.equal(a.presence.urls(), ['https://a.example', 'https://dead.example'])
    assert.is(a.manifests.length, 1)
    await settled(2)
    await until(() => a.manifests.length === 2)
    assert.equal(a.presence.urls(), ['https://a.example'])
    assert.equal(ids(a.manifests.at(-1)), ['a'])
    assert.ok(a.logged.includes('registry.gone'))
    const again = await started(database, 'dead', 'https://dead.example')
    await until(() => a.manifests.length === 3)
    assert.equal(ids(a.manifests.at(-1)), ['a', 'dead'])
    await a.presence[Symbol.asyncDispose]()
    await again.presence[Symbol.asyncDispose]()
    await database.store[Symbol.asyncDispose]()
  },
)

rule('makes no manifest of beats alone, and says nothing once it has ended', async () => {
  const database = await newDatabase()
  const a = await started(database, 'a', 'https://a.example')
  a.clock.pass(10)
  await systemClock.sleep(100)
  assert.is(a.manifests.length, 1)
  await a.presence[Symbol.asyncDispose]()
  assert.is(a.clock.count(), 0)
  await database.store[Symbol.asyncDispose]()
})

rule('changes manifests again at the next beat where it could not in all', async () => {
  const database = await newDatabase()
  const a = await started(database, 'a', 'https://a.example', 1)
  assert.is(a.manifests.length, 1)
  for (const _ of [1, 2]) {
    a.clock.pass(1)
    await systemClock.sleep(100)
    await until(() => a.manifests.length === 2)
  }
  assert.is(a.manifests.length, 2)
  await a.presence[Symbol.asyncDispose]()
  await database.store[Symbol.asyncDispose]()
})

rule('says so where two registries have one key', async () => {
  const database = await newDatabase()
  const a = await started(database, 'a', 'https://a.example')
  const twin = await started(database, 'a', 'https://twin.example')
  a.clock.pass(1)
  await until(() => a.logged.includes('registry.has-twin'))
  assert.ok(a.logged.includes('registry.has-twin'))
  await a.presence[Symbol.asyncDispose]()
  await twin.presence[Symbol.asyncDispose]()
  await database.store[Symbol.asyncDispose]()
})

rule.run()
