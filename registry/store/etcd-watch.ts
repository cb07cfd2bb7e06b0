/** What others and we write, as etcd tells it: one stream for all who watch, taken up where it broke off. */
import type { Clock } from '../../protocol/clock.ts'
import type { Log } from '../../protocol/log.ts'
import type { EtcdClient } from './etcd-client.ts'
import { type KeySpace, parseWatch, type WatchAnswer } from './etcd-wire.ts'
import { StoreError } from './store.ts'

export interface WatchParts {
  readonly client: EtcdClient
  readonly keys: KeySpace
  /** First and last of all record keys, as a range. */
  readonly range: { readonly key: string; readonly range_end: string }
  readonly clock: Pick<Clock, 'sleep' | 'after'>
  readonly log: Log
}

/** Milliseconds of silence after which the stream is opened anew, at another member: a member that is cut
 *  off from the others stays silent without a word. */
const SILENCE_MS = 20_000
/** Milliseconds before a stream that broke is opened again. */
const PAUSE_MS = 200

type Changed = (keys: readonly string[]) => void

export class EtcdWatch implements AsyncDisposable {
  readonly #parts: WatchParts
  readonly #watchers = new Set<{ readonly prefix: string; readonly changed: Changed }>()
  readonly #ending = new AbortController()
  #running: Promise<void> | undefined
  #isBroken = false

  constructor(parts: WatchParts) {
    this.#parts = parts
  }

  /** @param since the newest revision that is known of */
  watch(prefix: string, changed: Changed, since: bigint): { cancel(): void } {
    const watcher = { prefix, changed }
    this.#watchers.add(watcher)
    this.#running ??= this.#run(since + 1n)
    return { cancel: () => void this.#watchers.delete(watcher) }
  }

  async #run(first: bigint): Promise<void> {
    const { client, clock, log } = this.#parts
    const { signal } = this.#ending
    let next = first
    while (!signal.aborted) {
      try {
        for await (const answer of this.#stream(next)) {
          this.#isBroken = false
          next = this.#take(answer, next)
          if (answer.result?.canceled === true) break
        }
      } catch (error) {
        if (signal.aborted) return
        if (!this.#isBroken) log('warn', 'store.watch-broken', { error: String(error) })
        this.#isBroken = true
      }
      client.next()
      await clock.sleep(PAUSE_MS, signal).catch(() => undefined)
    }
  }

  /** Ends in silence, too. */
  async *#stream(start: bigint): AsyncIterable<WatchAnswer> {
    const { client, clock, range } = this.#parts
    const silence = new AbortController()
    const signal = AbortSignal.any([this.#ending.signal, silence.signal])
    const request = { ...range, start_revision: String(start), progress_notify: true }
    const armed = () => clock.after(SILENCE_MS, () => silence.abort())
    let timer = armed()
    try {
      for await (const line of client.stream('/v3/watch', { create_request: request }, signal)) {
        timer.cancel()
        timer = armed()
        yield parseWatch(line)
      }
    } catch (error) {
      if (!silence.signal.aborted) throw error
    } finally {
      timer.cancel()
    }
  }

  /** The revision to go on from. Throws StoreError where etcd ends the stream. */
  #take({ result, error }: WatchAnswer, next: bigint): bigint {
    if (result === undefined) throw new StoreError(`etcd ended a watch: ${JSON.stringify(error)}`)
    if (result.compact_revision > 0n) {
      this.#tell(undefined)
      return result.compact_revision > next ? result.compact_revision : next
    }
    if (result.canceled) throw new StoreError(`etcd ended a watch: ${result.cancel_reason}`)
    const { events } = result
    const newest = events.at(-1)?.kv.mod_revision
    if (newest === undefined) return next
    this.#tell([...new Set(events.map(({ kv }) => this.#parts.keys.name(kv.key)))])
    return newest + 1n
  }

  /** @param keys undefined: etcd has forgotten what changed */
  #tell(keys: readonly string[] | undefined): void {
    for (const { prefix, changed } of [...this.#watchers]) {
      const touched = keys?.filter((key) => key.startsWith(prefix))
      if (touched?.length !== 0) changed(touched ?? [])
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watchers.clear()
    this.#ending.abort()
    await this.#running
  }
}
