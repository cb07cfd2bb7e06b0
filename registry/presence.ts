/** Presence: the registries that share a store. Each says at intervals that it runs, and forgets those that
 *  have not said so for a while: so that manifests name where devices meet, and answers whom to ask. */
import { z } from 'zod'
import { toHex } from '../crypto/bytes.ts'
import type { RandomBytes } from '../crypto/random.ts'
import type { Clock } from '../protocol/clock.ts'
import { MULTIADDRS } from '../protocol/limits.ts'
import type { Log } from '../protocol/log.ts'
import type { Rendezvous } from '../protocol/manifest.ts'
import type { Issuing } from './issuing.ts'
import { namedRendezvous } from './manifest-room.ts'
import { collection } from './store/collection.ts'
import type { Database, Item } from './store/database.ts'

/** By the peer id of its rendezvous. */
const REGISTRY = collection(
  'registry',
  z.strictObject({
    publicUrl: z.url(),
    rendezvous: z.strictObject({
      multiaddrs: z.array(z.string()).max(MULTIADDRS),
      stun: z.array(z.string()).max(MULTIADDRS),
    }),
    /** Drawn anew each time that the registry says so. */
    beat: z.string(),
  }),
)
type RegistryRecord = z.output<typeof REGISTRY.schema>

const BEAT_MS = 60_000
/** Four beats missed, and some: a restart or a short outage must not change manifests. */
const SILENT_MS = 5 * 60_000
/** URLs that agents are told; they remember as many. */
const URLS = 8

/** When a registry's beat was last seen to change, by our own clock: clocks of others need not be right. */
export type Observed = ReadonlyMap<string, { readonly beat: string; readonly sinceMs: number }>

export function observe(
  before: Observed,
  records: readonly { readonly id: string; readonly beat: string }[],
  nowMs: number,
): { readonly observed: Observed; readonly silent: readonly string[] } {
  const observed = new Map(
    records.map(({ id, beat }) => {
      const known = before.get(id)
      return [id, known?.beat === beat ? known : { beat, sinceMs: nowMs }]
    }),
  )
  const silent = [...observed].filter(([, { sinceMs }]) => nowMs - sinceMs >= SILENT_MS)
  return { observed, silent: silent.map(([id]) => id) }
}

export interface PresenceParts {
  readonly database: Database
  readonly issuing: Pick<Issuing, 'setRendezvous'>
  readonly clock: Clock
  readonly randomBytes: RandomBytes
  readonly log: Log
  /** Peer id of our rendezvous. */
  readonly id: string
  readonly publicUrl: string
  readonly rendezvous: Rendezvous
}

export interface Presence extends AsyncDisposable {
  /** Public URLs of the registries that run, ours first. */
  urls(): readonly string[]
}

/** Resolves when manifests name this registry. */
export async function startPresence(parts: PresenceParts): Promise<Presence> {
  const presence = new StoredPresence(parts)
  await presence.begin()
  return presence
}

class StoredPresence implements Presence {
  readonly #parts: PresenceParts
  #observed: Observed = new Map()
  #running: readonly Item<RegistryRecord>[] = []
  #meeting = ''
  #beat: string | undefined
  /** One after another. */
  #work: Promise<void> = Promise.resolve()
  #waiting = 0
  readonly #ending: { cancel(): void }[] = []

  constructor(parts: PresenceParts) {
    this.#parts = parts
  }

  async begin(): Promise<void> {
    const { database, clock } = this.#parts
    await this.#say()
    await this.#look()
    this.#ending.push(
      clock.every(BEAT_MS, () => this.#queue(true)),
      database.store.watch(`${REGISTRY.name}:`, () => this.#queue(false)),
    )
  }

  urls(): readonly string[] {
    const others = this.#running.map(({ value }) => value.publicUrl)
    return [...new Set([this.#parts.publicUrl, ...others])].slice(0, URLS)
  }

  #queue(isBeat: boolean): void {
    // Whoever looks later sees what there is to see now.
    if (!isBeat && this.#waiting > 0) return
    this.#waiting += 1
    this.#work = this.#work
      .then(async () => {
        this.#waiting -= 1
        if (isBeat) await this.#say()
        await this.#look()
      })
      .catch((error) => this.#parts.log('warn', 'registry.presence-failed', { error }))
  }

  async #say(): Promise<void> {
    const { database, randomBytes, log, id, publicUrl } = this.#parts
    const { multiaddrs, stun } = this.#parts.rendezvous
    const rendezvous = { multiaddrs: [...multiaddrs], stun: [...stun] }
    const last = this.#beat
    const beat = toHex(randomBytes(8))
    const found = await database.transact(`registry/${id}`, async (transaction) => {
      const known = await transaction.get(REGISTRY, id)
      transaction.put(REGISTRY, id, { publicUrl, rendezvous, beat })
      return known?.beat
    })
    this.#beat = beat
    if (last === undefined || found === undefined || found === last) return
    log('error', 'registry.has-twin', {
      id,
      todo: 'another registry has a copy of our rendezvous.key: delete that of one of the two, and restart it',
    })
  }

  async #look(): Promise<void> {
    const { database, clock, issuing, log, id: own } = this.#parts
    const records: Item<RegistryRecord>[] = []
    for await (const record of database.list(REGISTRY)) records.push(record)
    const beats = records.map(({ id, value }) => ({ id, beat: value.beat }))
    const { observed, silent } = observe(this.#observed, beats, clock.monotonicMs())
    this.#observed = observed
    const gone = silent.filter((id) => id !== own)
    for (const id of gone) await this.#forget(id)
    this.#running = records.filter(({ id }) => !gone.includes(id))
    const meetings = this.#running.map(({ value }) => value.rendezvous)
    if (JSON.stringify(meetings) === this.#meeting) return
    const named = namedRendezvous(meetings)
    if (named.length < meetings.length) {
      log('warn', 'registry.too-many', { running: meetings.length, named: named.length })
    }
    if (await issuing.setRendezvous(named)) this.#meeting = JSON.stringify(meetings)
  }

  /** Unless it has spoken meanwhile. */
  async #forget(id: string): Promise<void> {
    const { database, log } = this.#parts
    const beat = this.#observed.get(id)?.beat
    const isGone = await database.transact(`registry/${id}`, async (transaction) => {
      if ((await transaction.get(REGISTRY, id))?.beat !== beat) return false
      transaction.delete(REGISTRY, id)
      return true
    })
    if (isGone) log('warn', 'registry.gone', { id, silentSeconds: SILENT_MS / 1000 })
  }

  /** Our record stays: a restart is no reason to change every manifest. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const each of this.#ending) each.cancel()
    await this.#work
  }
}
