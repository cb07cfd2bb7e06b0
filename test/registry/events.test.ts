import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { OrganizationId } from '../../protocol/keys.ts'
import { type ChangeEvent, openEvents } from '../../registry/events.ts'
import { ADA, type RegistryCore, startCore } from '../support/registry-core.ts'

const rule = suite('events of an organization')

/** Streams of Ada on a clock whose heartbeats the test beats. */
async function scene() {
  const core = await startCore()
  const organization = await core.issuing.found('acme')
  const beats = new Set<() => void>()
  const every = (_ms: number, beat: () => void) => {
    beats.add(beat)
    return { cancel: () => void beats.delete(beat) }
  }
  const events = openEvents({ database: core.database, clock: { every } })
  return { core, organization, events, beat: () => beats.forEach((beat) => void beat()), beats }
}

function listener(organization: OrganizationId) {
  const heard: (ChangeEvent | 'heartbeat')[] = []
  const ended = new AbortController()
  let allowed = true
  let waiting: () => void = () => undefined
  const hear = async (what: ChangeEvent | 'heartbeat') => {
    heard.push(what)
    waiting()
  }
  return {
    heard,
    end: () => ended.abort(),
    forbid() {
      allowed = false
    },
    /** Resolves when so many things were heard. */
    async until(count: number) {
      while (heard.length < count) {
        await new Promise<void>((resolve) => {
          waiting = resolve
        })
      }
    },
    subscription: {
      organization,
      subscriber: ADA,
      isAllowed: async () => allowed,
      send: hear,
      heartbeat: () => hear('heartbeat'),
      ended: ended.signal,
    },
  }
}

const make = (core: RegistryCore, organization: OrganizationId) => core.key(organization)

rule('begins with a sign of life, and gives one at each beat', async () => {
  const { core, organization, events, beat, beats } = await scene()
  await using _ = core
  const ear = listener(organization)
  const open = events.open(ear.subscription)
  await ear.until(1)
  beat()
  await ear.until(2)
  assert.equal(ear.heard, ['heartbeat', 'heartbeat'])
  ear.end()
  await open
  assert.is(beats.size, 0)
})

rule('who may not listen any more hears nothing of what happens from then on', async () => {
  const { core, organization, events } = await scene()
  await using _ = core
  const ear = listener(organization)
  const open = events.open(ear.subscription)
  await ear.until(1)
  ear.forbid()
  await make(core, organization)
  await open
  assert.equal(ear.heard, ['heartbeat'])
})

rule('who may not listen any more is let go at the next beat, though nothing happens', async () => {
  const { core, organization, events, beat } = await scene()
  await using _ = core
  const ear = listener(organization)
  const open = events.open(ear.subscription)
  await ear.until(1)
  ear.forbid()
  beat()
  await open
  assert.equal(ear.heard, ['heartbeat'])
})

rule('hears nothing of another organization', async () => {
  const { core, organization, events } = await scene()
  await using _ = core
  const other = await core.issuing.found('umbrella')
  const ear = listener(organization)
  const open = events.open(ear.subscription)
  await ear.until(1)
  await make(core, other)
  await make(core, organization)
  await ear.until(2)
  ear.end()
  await open
  const sequences = ear.heard.map((each) => (each === 'heartbeat' ? each : each.sequence))
  assert.equal(sequences, ['heartbeat', 1])
})

rule('looks at once where the store cannot say what has changed', async () => {
  const { core, organization } = await scene()
  await using _ = core
  let changed: (keys: readonly string[]) => void = () => undefined
  const watch = (_prefix: string, call: typeof changed) => {
    changed = call
    return { cancel: () => undefined }
  }
  // Entries are read as ever; what the store tells is told by hand.
  const database = { ...core.database, store: { ...core.database.store, watch } }
  const never = { every: () => ({ cancel: () => undefined }) }
  const ear = listener(organization)
  const open = openEvents({ database, clock: never }).open(ear.subscription)
  await ear.until(1)
  await make(core, organization)
  assert.is(ear.heard.length, 1)
  changed([])
  await ear.until(2)
  ear.end()
  await open
})

rule('a listener from the beginning hears all there was, however much', async () => {
  const { core, organization, events } = await scene()
  await using _ = core
  await Promise.all(Array.from({ length: 600 }, () => make(core, organization)))
  const ear = listener(organization)
  const open = events.open({ ...ear.subscription, after: 0 })
  await ear.until(601)
  ear.end()
  await open
  const sequences = ear.heard.flatMap((each) => (each === 'heartbeat' ? [] : each.sequence))
  assert.equal(
    sequences,
    Array.from({ length: 600 }, (_, index) => index + 1),
  )
})

rule.run()
