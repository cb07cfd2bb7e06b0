/** Relay ends: the ways to relays, and to peers themselves, that are open now, and what each has taught about
 *  each device. */
import type { DeviceId } from '../../protocol/keys.ts'
import type { RelayAddress, RelayFrame } from '../../protocol/relay.ts'
import type { RelayId } from '../../protocol/relay-attach.ts'
import type { RelayEvidence } from './relay-choice.ts'

/** Who is at the other end. */
export interface RelayParty {
  readonly id: RelayId
  /** Undefined: a registry. */
  readonly device: DeviceId | undefined
  readonly name: string
}

/** The near end of a stream, whoever opened it, and of the UDP beside it; or of UDP alone. */
export interface RelayEnd {
  readonly relay: RelayParty
  readonly isCircuit: boolean
  /** Does the other end pass on what is for others? Not where it is the client, to whom alone it leads. */
  passesOn(): boolean
  /** False: dropped, the way is full or has ended. */
  send(frame: RelayFrame): boolean
  isOpen(): boolean
  /** It has fallen silent. */
  isDoubted(): boolean
  /** What the next datagram goes by. */
  by(): 'udp' | 'tcp'
}

/** Of one device by one end. */
interface Lesson {
  heardAt: number | undefined
  unreachableAt: number | undefined
  askedAt: number | undefined
  answeredAt: number | undefined
  roundTripMs: number | undefined
}

export interface Choice extends RelayEvidence {
  readonly end: RelayEnd
}

/** Devices remembered for each end; the oldest evidence goes first. */
const REMEMBERED = 4096
/** A quarter of each new measurement, as paths smooth theirs. */
const SMOOTHING = 0.25

export class RelayEnds {
  readonly #lessons = new Map<RelayEnd, Map<RelayAddress, Lesson>>()

  add(end: RelayEnd): void {
    this.#lessons.set(end, new Map())
  }

  remove(end: RelayEnd): void {
    this.#lessons.delete(end)
  }

  heard(end: RelayEnd, peer: RelayAddress, now: number): void {
    this.#learn(end, peer, { heardAt: now, unreachableAt: undefined })
  }

  unreachable(end: RelayEnd, peer: RelayAddress, now: number): void {
    this.#learn(end, peer, {
      heardAt: undefined,
      answeredAt: undefined,
      askedAt: undefined,
      unreachableAt: now,
    })
  }

  /** A check was sent; only the first without an answer, and since the device was last heard this way, counts. */
  asked(end: RelayEnd, peer: RelayAddress, now: number): void {
    const { askedAt, heardAt = -Infinity } = this.#lessons.get(end)?.get(peer) ?? NOTHING_LEARNT
    if (askedAt === undefined || heardAt >= askedAt) this.#learn(end, peer, { askedAt: now })
  }

  /** @param id of the relay through which the check went and its answer came */
  answered(id: string, peer: RelayAddress, roundTripMs: number, now: number): void {
    for (const [end, lessons] of this.#lessons) {
      if (end.relay.id !== id) continue
      const known = lessons.get(peer)?.roundTripMs
      // Shorter is true at once; longer may have been a burst.
      const smoothed =
        known === undefined || roundTripMs < known
          ? roundTripMs
          : known + (roundTripMs - known) * SMOOTHING
      const change = { answeredAt: now, askedAt: undefined, unreachableAt: undefined }
      this.#learn(end, peer, { ...change, roundTripMs: smoothed })
    }
  }

  choices(to: DeviceId, peer: RelayAddress): readonly Choice[] {
    const choices: Choice[] = []
    for (const [end, lessons] of this.#lessons) {
      const { id, device, name } = end.relay
      const isItself = device === to
      if (!end.isOpen() || (!isItself && !end.passesOn())) continue
      choices.push({
        ...{ end, id, name },
        to: isItself ? (end.isCircuit ? 'itself-by-circuit' : 'itself') : 'others',
        isRegistry: device === undefined,
        isDoubted: end.isDoubted(),
        ...(lessons.get(peer) ?? NOTHING_LEARNT),
      })
    }
    return choices
  }

  #learn(end: RelayEnd, peer: RelayAddress, change: Partial<Lesson>): void {
    const lessons = this.#lessons.get(end)
    if (lessons === undefined) return
    const known = lessons.get(peer) ?? NOTHING_LEARNT
    lessons.delete(peer)
    const oldest = lessons.keys().next()
    if (lessons.size >= REMEMBERED && oldest.done !== true) lessons.delete(oldest.value)
    lessons.set(peer, { ...known, ...change })
  }
}

const NOTHING_LEARNT: Lesson = {
  heardAt: undefined,
  unreachableAt: undefined,
  askedAt: undefined,
  answeredAt: undefined,
  roundTripMs: undefined,
}
