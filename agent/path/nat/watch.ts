/** NAT watch: what is done to know the NATs before this host. Servers and peers tell what they see as it is;
 *  where fewer than three voices do, members are asked; our own endpoint is asked for the way back; and the
 *  lifetime is measured when somebody wants it. */
import { type AddressFamily, addressFamily, type Endpoint } from '../../../protocol/address.ts'
import type { Cancellable, Clock } from '../../../protocol/clock.ts'
import type { DeviceId } from '../../../protocol/keys.ts'
import type { Log } from '../../../protocol/log.ts'
import type { LocalCandidates } from '../candidates.ts'
import type { Checks } from '../checks.ts'
import type { PathPeer } from '../paths.ts'
import type { ServerStatus } from '../stun-servers.ts'
import { LIFETIME_LIMITS } from './lifetime.ts'
import { type LifetimeSearch, startLifetimeSearch } from './lifetime-search.ts'
import { openProbeSocket } from './probe-socket.ts'
import { scopeOf } from './scope.ts'
import { FAMILIES, type FamilyView, type NatTracker } from './tracker.ts'
import { LifetimeError, tryLifetime } from './trial.ts'

/** Looks at what is missing, milliseconds. */
const LOOK_MS = 5000
/** Voices that no single liar outweighs. */
const ENOUGH_VOICES = 3
/** Members asked at once, and the pause before others are, milliseconds, doubling while too few answer. */
const ASKED_AT_ONCE = 3
const FIRST_PAUSE_MS = 10_000
const LAST_PAUSE_MS = 600_000
/** Requests to our own endpoint, and the wait for each. */
const HAIRPIN_TRIES = 3
const HAIRPIN_MS = 500
/** What a person who asks waits for answers, milliseconds. */
const PATIENCE_MS = 1500
const POLL_MS = 20
/** A way back that was tried so long ago is tried again for whoever asks, milliseconds. */
const RETRY_MS = 10_000

export interface NatWatchOptions {
  readonly local: Pick<LocalCandidates, 'nat' | 'natChanged' | 'servers' | 'askAgain'>
  readonly checks: Pick<Checks, 'askMember' | 'hairpin'>
  peers(): readonly PathPeer[]
  /** By WireGuard's port. */
  send(datagram: Uint8Array, to: Endpoint): void
  /** The system's where it is missing. */
  readonly openProbeSocket?: typeof openProbeSocket | undefined
  readonly clock: Clock
  random(length: number): Uint8Array
  readonly log: Log
}

export type LifetimeProgress =
  | { readonly kind: 'running'; readonly sinceMs: number; readonly atMost: number }
  | { readonly kind: 'failed'; readonly reason: string }

export interface NatView extends FamilyView {
  readonly progress: LifetimeProgress | undefined
}

/** What `nexctl netcheck` wants of the paths. */
export interface PathNetcheck {
  /** Asks servers and members anew; resolves when those servers answered, or had their chance. */
  refresh(): Promise<void>
  view(family: AddressFamily): NatView
  servers(): readonly ServerStatus[]
  /** Starts in the background, unless it runs. @param longest the longest wait, seconds
   *  @returns how long it takes at most, seconds; undefined: no server of the family answers */
  measureLifetime(family: AddressFamily, longest: number): number | undefined
}

export class NatWatch implements PathNetcheck {
  readonly #options: NatWatchOptions
  readonly #looking: Cancellable
  readonly #asking = new Map<AddressFamily, { dueMs: number; pauseMs: number; turn: number }>()
  /** Of the way back that is being tried. */
  readonly #onHairpin = new Map<AddressFamily, () => void>()
  readonly #searches = new Map<AddressFamily, LifetimeSearch>()
  readonly #progress = new Map<AddressFamily, LifetimeProgress>()
  #arePeersKnown = false
  #isClosed = false

  constructor(options: NatWatchOptions) {
    this.#options = options
    this.#looking = options.clock.every(LOOK_MS, () => this.look())
  }

  /** What is missing is sought. @param hairpinMs the age at which a tried way back is tried again */
  look(hairpinMs?: number): void {
    for (const family of FAMILIES) {
      const mapped = this.#nat.hairpinDue(family, hairpinMs)
      if (mapped !== undefined) void this.#tryHairpin(family, mapped)
      this.#askMembers(family)
    }
  }

  /** An earlier run of ours may have sent to all that are known at the start. */
  peersKnown(peers: readonly PathPeer[]): void {
    if (!this.#arePeersKnown) {
      for (const { address } of peers.flatMap(({ candidates }) => candidates))
        this.#nat.mayHaveSent(address)
    }
    this.#arePeersKnown = true
  }

  /** Members that were asked in vain may answer now. */
  networkChanged(): void {
    this.#asking.clear()
    this.look()
  }

  hairpinned(mapped: Endpoint): void {
    this.#onHairpin.get(addressFamily(mapped.address))?.()
    this.#nat.hairpinned(mapped, true)
    this.#options.local.natChanged()
  }

  get #nat(): NatTracker {
    return this.#options.local.nat
  }

  view(family: AddressFamily): NatView {
    return { ...this.#nat.view(family), progress: this.#progress.get(family) }
  }

  servers(): readonly ServerStatus[] {
    return this.#options.local.servers()
  }

  async refresh(): Promise<void> {
    const { clock } = this.#options
    const begunMs = clock.monotonicMs()
    this.#asking.clear()
    this.#options.local.askAgain()
    this.look(RETRY_MS)
    const isAnswered = ({ answeredMs = -Infinity }: ServerStatus): boolean => answeredMs >= begunMs
    while (clock.monotonicMs() - begunMs < PATIENCE_MS) {
      await clock.sleep(POLL_MS)
      const isDone = this.servers().every(isAnswered) && this.#onHairpin.size === 0
      if (isDone && clock.monotonicMs() - begunMs > HAIRPIN_MS) return
    }
  }

  measureLifetime(family: AddressFamily, longest: number): number | undefined {
    const running = this.#searches.get(family)
    if (running !== undefined) return running.atMost
    const { clock, random } = this.#options
    const server = this.servers().find(
      (one) => addressFamily(one.server.address) === family && !one.isMute && one.answeredMs,
    )?.server
    if (server === undefined) return undefined
    const wait = Math.min(Math.max(longest, LIFETIME_LIMITS.least), LIFETIME_LIMITS.most)
    const search = startLifetimeSearch(wait, (seconds, signal) =>
      tryLifetime(seconds, { server, clock, random, signal }),
    )
    this.#searches.set(family, search)
    const { atMost } = search
    this.#progress.set(family, { kind: 'running', sinceMs: clock.monotonicMs(), atMost })
    void this.#measured(family, server, search)
    return atMost
  }

  close(): void {
    this.#isClosed = true
    this.#looking.cancel()
    for (const search of this.#searches.values()) search.stop()
  }

  async #measured(family: AddressFamily, server: Endpoint, search: LifetimeSearch): Promise<void> {
    const { log, local } = this.#options
    try {
      const lifetime = await search.result
      this.#nat.measured(server, lifetime)
      this.#progress.delete(family)
      log('info', 'nat.lifetime-measured', { family, ...lifetime })
      local.natChanged()
    } catch (error) {
      if (this.#isClosed) return
      const reason = error instanceof Error ? error.message : String(error)
      this.#progress.set(family, { kind: 'failed', reason })
      const level = error instanceof LifetimeError ? 'info' : 'warn'
      log(level, 'nat.lifetime-not-measured', { family, reason })
    } finally {
      this.#searches.delete(family)
    }
  }

  #askMembers(family: AddressFamily): void {
    const { clock, peers } = this.#options
    const nowMs = clock.monotonicMs()
    const asking = this.#asking.get(family) ?? { dueMs: nowMs, pauseMs: FIRST_PAUSE_MS, turn: 0 }
    if (this.#nat.voices(family) >= ENOUGH_VOICES) {
      this.#asking.delete(family)
      return
    }
    if (nowMs < asking.dueMs) return
    const able = observersAmong(peers(), family)
    const asked = Array.from(
      { length: Math.min(ASKED_AT_ONCE, able.length) },
      (_, index) => able[(asking.turn + index) % able.length],
    )
    for (const one of asked) if (one !== undefined) this.#askMember(one.device, one.endpoint)
    this.#asking.set(family, {
      dueMs: nowMs + asking.pauseMs,
      pauseMs: Math.min(2 * asking.pauseMs, LAST_PAUSE_MS),
      turn: asking.turn + asked.length,
    })
  }

  #askMember(device: DeviceId, server: Endpoint): void {
    const { checks, clock, send } = this.#options
    const request = checks.askMember(device, server, clock.monotonicMs())
    if (request !== undefined) send(request, server)
  }

  async #tryHairpin(family: AddressFamily, mapped: Endpoint): Promise<void> {
    const { clock, checks, log, local, openProbeSocket: open = openProbeSocket } = this.#options
    const nat = this.#nat
    if (this.#onHairpin.has(family) || this.#isClosed) return
    let isBack = false
    this.#onHairpin.set(family, () => {
      isBack = true
    })
    try {
      const socket = await open(family, mapped, () => undefined)
      for (let tries = 0; tries < HAIRPIN_TRIES && !isBack && !this.#isClosed; tries++) {
        socket.send(checks.hairpin(mapped, clock.monotonicMs()), mapped)
        await clock.sleep(HAIRPIN_MS)
      }
      socket.close()
      if (isBack || nat.view(family).report.udp !== 'works') return
      nat.hairpinned(mapped, false)
      local.natChanged()
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      log('debug', 'nat.hairpin-not-tried', { family, reason })
    } finally {
      this.#onHairpin.delete(family)
    }
  }
}

/** Members that can be asked out of the blue: they say that they have an address of their own out there. */
function observersAmong(
  peers: readonly PathPeer[],
  family: AddressFamily,
): readonly { readonly device: DeviceId; readonly endpoint: Endpoint }[] {
  return peers.flatMap(({ device, candidates }) => {
    const endpoint = candidates.find(
      ({ kind, address }) =>
        kind !== 'server-reflexive' &&
        addressFamily(address) === family &&
        scopeOf(address) === 'global',
    )
    return endpoint === undefined ? [] : [{ device, endpoint }]
  })
}
