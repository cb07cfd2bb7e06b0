/** Forwarder: asks the resolvers that an organization names for its domains, and keeps what they say for a while. */
import type { RandomBytes } from '../../crypto/random.ts'
import { type Endpoint, formatEndpoint, type IpAddress } from '../../protocol/address.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { Forward } from '../../protocol/organization-names.ts'
import { AnswerCache } from './cache.ts'
import { type Exchange, exchange } from './exchange.ts'
import { type Forwarded, outgoing, passedOn } from './forwarded.ts'
import type { Query } from './message.ts'

export const FORWARDER_LIMITS = {
  /** Questions on their way at once. */
  waiting: 256,
  /** Times that each resolver is asked. */
  rounds: 2,
  /** Milliseconds for which one that did not answer is asked last. */
  avoidedMs: 30_000,
} as const

export interface ForwarderOptions {
  /** Does a packet to this address go where the organization has it: into the tunnel, or to a network that this device
   *  itself is a router to? Never anywhere else: the question would be told to strangers. */
  isReachable(address: IpAddress): boolean
  /** By this host's sockets where it is missing. */
  readonly exchange?: Exchange
  readonly clock: Clock
  readonly random: RandomBytes
}

const NOERROR = 0
const NXDOMAIN = 3

export class Forwarder {
  readonly #options: ForwarderOptions
  readonly #cache = new AnswerCache()
  /** By question. A resolver that asks us what we ask it waits for itself, and that ends. */
  readonly #waiting = new Map<string, Promise<Forwarded | undefined>>()
  /** When it last left a question unanswered, by endpoint. */
  readonly #silent = new Map<string, number>()

  constructor(options: ForwarderOptions) {
    this.#options = options
  }

  /** Undefined where there is no answer to be had. Never rejects. */
  async ask(query: Query, forward: Forward, by: 'udp' | 'tcp'): Promise<Buffer | undefined> {
    const { clock } = this.#options
    const { name, type, class: of } = query.question
    const key = `${name} ${type} ${of} ${query.edns?.isDnssecOk ?? false}`
    const kept = this.#cache.find(key, clock.monotonicMs())
    if (kept !== undefined) {
      const age = Math.floor((clock.monotonicMs() - kept.atMs) / 1000)
      return passedOn(query, kept.answer, age, by)
    }
    const answer = await this.#once(key, query, forward)
    return answer === undefined ? undefined : passedOn(query, answer, 0, by)
  }

  /** What is known of resolvers and domains is not true any more. */
  forget(): void {
    this.#cache.clear()
    this.#waiting.clear()
    this.#silent.clear()
  }

  #once(key: string, query: Query, forward: Forward): Promise<Forwarded | undefined> {
    const known = this.#waiting.get(key)
    if (known !== undefined) return known
    if (this.#waiting.size >= FORWARDER_LIMITS.waiting) return Promise.resolve(undefined)
    const asking = this.#askAll(query, forward)
      .then((answer) => {
        // Of resolvers that are not asked any more nothing is kept.
        if (answer !== undefined && this.#waiting.get(key) === asking)
          this.#cache.keep(key, answer, this.#options.clock.monotonicMs())
        return answer
      })
      .finally(() => {
        if (this.#waiting.get(key) === asking) this.#waiting.delete(key)
      })
    this.#waiting.set(key, asking)
    return asking
  }

  /** The first that knows; else what one said that could not. */
  async #askAll(query: Query, { resolvers }: Forward): Promise<Forwarded | undefined> {
    const { clock, random, isReachable, exchange: ask = exchange } = this.#options
    let failed: Forwarded | undefined
    for (let round = 0; round < FORWARDER_LIMITS.rounds && failed === undefined; round++) {
      for (const resolver of this.#inOrder(resolvers)) {
        if (!isReachable(resolver.address)) continue
        const answer = await ask(resolver, outgoing(query, random), clock)
        this.#note(resolver, answer !== undefined)
        if (answer?.rcode === NOERROR || answer?.rcode === NXDOMAIN) return answer
        failed = answer ?? failed
      }
    }
    return failed
  }

  #inOrder(resolvers: readonly Endpoint[]): readonly Endpoint[] {
    const now = this.#options.clock.monotonicMs()
    const isSilent = (each: Endpoint): boolean =>
      now - (this.#silent.get(formatEndpoint(each)) ?? -Infinity) < FORWARDER_LIMITS.avoidedMs
    return resolvers.toSorted((a, b) => Number(isSilent(a)) - Number(isSilent(b)))
  }

  #note(resolver: Endpoint, hasAnswered: boolean): void {
    if (hasAnswered) this.#silent.delete(formatEndpoint(resolver))
    else this.#silent.set(formatEndpoint(resolver), this.#options.clock.monotonicMs())
  }
}
