/** Relay lines: a line kept warm to every relay that is linked, and to peers that can be reached no better. */
import type { Cancellable, Clock } from '../../protocol/clock.ts'
import { RELAY_PROTOCOL } from '../../protocol/relay.ts'
import { relayedKind } from '../../protocol/relay-datagram.ts'
import { type Link, type Links, relayOfLink } from './links.ts'
import { hostOf } from './multiaddrs.ts'
import type { RelayEnd } from './relay-ends.ts'
import { RelayLine } from './relay-line.ts'
import { startRelayStream } from './relay-stream.ts'
import type { Relays } from './relays.ts'

const OPEN_MS = 5000
/** Milliseconds before a stream that ended on a living link is opened again. */
const REOPEN_MS = 1000
/** Milliseconds between looks at lines in use. */
const TICK_MS = 100

export interface RelayLinesOptions {
  readonly links: Links
  /** Does the other end pass on datagrams to others? */
  passesOn(link: Link): boolean
  readonly relays: Pick<Relays, 'opened' | 'closed' | 'client'>
  onFault(link: Link, error: unknown): void
  readonly clock: Clock
  readonly random: (n: number) => Uint8Array
}

interface Kept {
  readonly line: RelayLine
  readonly end: RelayEnd
  wasDoubted: boolean
  wasInUse: boolean
}

export class RelayLines {
  readonly #kept = new Map<string, Kept>()
  /** Ids of connections on which a stream is being opened. */
  readonly #opening = new Set<string>()
  readonly #options: RelayLinesOptions
  #ticking: Cancellable | undefined
  #stopped = false

  constructor(options: RelayLinesOptions) {
    this.#options = options
    options.links.onUp((link) => this.open(link))
    options.links.onDown(({ connection }) => this.#close(connection.id))
  }

  stop(): void {
    this.#stopped = true
    this.#ticking?.cancel()
    for (const id of [...this.#kept.keys()]) this.#close(id)
  }

  /** Opens a stream where there should be one; harmless when there is. */
  open(link: Link): void {
    const { id } = link.connection
    if (!this.#isWanted(link) || this.#kept.has(id) || this.#opening.has(id)) return
    this.#opening.add(id)
    this.#start(link)
      .catch((error: unknown) => {
        this.#options.onFault(link, error)
        this.#reopen(link)
      })
      .finally(() => this.#opening.delete(id))
  }

  /** Lines are looked at from now on, while they are in use. */
  wake(): void {
    if (this.#stopped) return
    this.#ticking ??= this.#options.clock.after(TICK_MS, () => {
      this.#ticking = undefined
      if ([...this.#kept.values()].filter((each) => this.#look(each)).length > 0) this.wake()
    })
  }

  #look(kept: Kept): boolean {
    const { line, end } = kept
    const isInUse = line.isInUse()
    if (isInUse || kept.wasInUse) line.tick()
    kept.wasInUse = isInUse
    const isDoubted = line.isDoubted()
    if (isDoubted !== kept.wasDoubted) {
      kept.wasDoubted = isDoubted
      this.#options.relays.client.doubted(end)
    }
    return isInUse || isDoubted
  }

  /** On a direct link the one who dialled opens the stream, and both send by it; a relay's client and
   *  either end of a circuit open one anyway. */
  #isWanted(link: Link): boolean {
    if (this.#stopped || link.kind === 'overlay' || link.connection.status !== 'open') return false
    if (link.connection.direction === 'outbound' || link.kind === 'circuit') return true
    return this.#options.passesOn(link)
  }

  async #start(link: Link): Promise<void> {
    const { clock, random, passesOn, relays, onFault } = this.#options
    const { id } = link.connection
    const stream = await link.connection.newStream(RELAY_PROTOCOL, {
      signal: AbortSignal.timeout(OPEN_MS),
      runOnLimitedConnection: true,
    })
    if (this.#stopped) return stream.abort(new Error('not wanted'))
    // Its end was told to nobody.
    if (stream.status !== 'open') throw new Error('the relay ended the stream')
    const frames = startRelayStream(stream, {
      onFrame: (frame) => line.received(frame),
      onEnd: (error) => {
        if (this.#kept.get(id)?.line === line) this.#close(id)
        if (error !== undefined) onFault(link, error)
        this.#reopen(link)
      },
    })
    const host = link.kind === 'direct' ? hostOf(link.connection.remoteAddr) : undefined
    const line = new RelayLine(frames, {
      ...{ host, clock, random },
      onFrame: (frame) => {
        if (relayedKind(frame.datagram) === 'wireguard') this.wake()
        relays.client.received(end, frame)
      },
    })
    const end: RelayEnd = {
      relay: relayOfLink(link),
      isCircuit: link.kind === 'circuit',
      passesOn: () => passesOn(link),
      isOpen: () => line.isOpen(),
      isDoubted: () => line.isDoubted(),
      by: () => line.by(),
      send: (frame) => {
        const isTaken = line.send(frame)
        this.wake()
        return isTaken
      },
    }
    this.#kept.set(id, { line, end, wasDoubted: false, wasInUse: false })
    relays.opened(end)
  }

  #close(id: string): void {
    const kept = this.#kept.get(id)
    if (kept === undefined) return
    this.#kept.delete(id)
    kept.line.close()
    this.#options.relays.closed(kept.end)
  }

  #reopen(link: Link): void {
    if (!this.#stopped) this.#options.clock.after(REOPEN_MS, () => this.open(link))
  }
}
