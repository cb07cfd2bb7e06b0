/** Sync with devices: answers theirs, and pushes what is new to all others of the organization at once. */

import type { Connection, Stream } from '@libp2p/interface'
import { abortConnection } from '../../protocol/abort.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { Envelope } from '../../protocol/envelope.ts'
import { FRAME_BYTES } from '../../protocol/limits.ts'
import { Pace } from '../../protocol/pace.ts'
import { answerSync, offerSync, type SyncParty } from '../../protocol/sync-exchange.ts'
import { asError, isFaultOfPeer, RefusedPeerError } from './admission.ts'
import { frameChannel } from './frames.ts'
import type { Link, Links } from './links.ts'
import type { RendezvousNode } from './node.ts'
import type { News, Organizations } from './organizations.ts'
import type { Strangers } from './strangers.ts'

export const SYNC_PROTOCOL = '/nexodus/sync/1'
/** Milliseconds of a whole exchange: a first one on a slow link. */
const EXCHANGE_MS = 30_000
/** Milliseconds that news waits for more: a change often makes several envelopes. */
const PUSH_MS = 20
const INBOUND_STREAMS = 4
/** Bytes of sync that a device may send, by all its connections: ten times all that 1,000 devices say, and in a minute. */
const BYTES = { burst: 16 * 1024 * 1024, perSecond: (16 * 1024 * 1024) / 60 } as const
/** Exchanges that a device may begin; each costs what it takes to compare all that is held. */
const EXCHANGES = { burst: 32, perSecond: 1 } as const

export interface SyncOptions {
  readonly organizations: Organizations
  readonly links: Links
  readonly strangers: Strangers
  readonly clock: Clock
}

export async function startSync({ node }: RendezvousNode, options: SyncOptions): Promise<void> {
  const sync = new Sync(options)
  await node.handle(SYNC_PROTOCOL, (stream, connection) => sync.answer(stream, connection), {
    runOnLimitedConnection: true,
    maxInboundStreams: INBOUND_STREAMS,
  })
  options.organizations.onNews((news) => sync.spread(news))
  options.links.onDown((link) => sync.forget(link))
}

/** What a link is still to be told. */
interface Account {
  waiting: Envelope[]
  isPushing: boolean
}

class Sync {
  readonly #options: SyncOptions
  /** By connection id. */
  readonly #accounts = new Map<string, Account>()
  readonly #bytes = new Pace(BYTES)
  readonly #exchanges = new Pace(EXCHANGES)

  constructor(options: SyncOptions) {
    this.#options = options
  }

  forget({ connection }: Link): void {
    this.#accounts.delete(connection.id)
  }

  answer(stream: Stream, connection: Connection): void {
    const link = this.#options.links.of(connection)
    if (link === undefined) {
      stream.abort(new Error('not admitted'))
      return
    }
    if (!this.#exchanges.spend(link.peer, 1, this.#options.clock.monotonicMs())) {
      stream.abort(new Error('sync: too often'))
      return
    }
    const signal = AbortSignal.timeout(EXCHANGE_MS)
    const channel = frameChannel(stream, FRAME_BYTES, signal, (count) => this.#charge(link, count))
    answerSync(channel, this.#partyOf(link))
      .then(() => stream.close({ signal }))
      .catch((error: unknown) => this.#failed(link, stream, error))
  }

  #partyOf(link: Link): SyncParty {
    const { organizations } = this.#options
    return {
      syncable: () => organizations.syncable(link.organization),
      receive: (envelope) => {
        organizations.receive(link.organization, envelope, link.connection.id)
      },
    }
  }

  /** To every device of the organization but the one that said it. */
  spread({ organization, envelopes, from }: News): void {
    for (const link of this.#options.links.in(organization)) {
      if (link.connection.id === from) continue
      const account = this.#accountOf(link)
      account.waiting.push(...envelopes)
      this.#schedule(link, account)
    }
  }

  /** One push at a time on a link; what comes meanwhile goes with the next. */
  #schedule(link: Link, account: Account): void {
    if (account.isPushing || account.waiting.length === 0) return
    account.isPushing = true
    this.#options.clock.after(PUSH_MS, () => {
      const pushed = account.waiting
      account.waiting = []
      this.#push(link, pushed)
        .catch((error: unknown) => this.#failed(link, undefined, error))
        .finally(() => {
          account.isPushing = false
          if (this.#options.links.of(link.connection) === link) this.#schedule(link, account)
        })
    })
  }

  async #push(link: Link, pushed: readonly Envelope[]): Promise<void> {
    if (link.connection.status !== 'open') return
    const signal = AbortSignal.timeout(EXCHANGE_MS)
    const options = { signal, runOnLimitedConnection: true }
    const stream = await link.connection.newStream(SYNC_PROTOCOL, options)
    try {
      const charge = (count: number): void => this.#charge(link, count)
      const channel = frameChannel(stream, FRAME_BYTES, signal, charge)
      await offerSync(channel, this.#partyOf(link), pushed)
      await stream.close({ signal })
    } catch (error) {
      stream.abort(asError(error))
      throw error
    }
  }

  #accountOf({ connection }: Link): Account {
    const known = this.#accounts.get(connection.id)
    if (known !== undefined) return known
    const account = { waiting: [], isPushing: false }
    this.#accounts.set(connection.id, account)
    return account
  }

  /** Throws RefusedPeerError where a device sends more than all that is to be said. */
  #charge(link: Link, count: number): void {
    if (this.#bytes.spend(link.peer, count, this.#options.clock.monotonicMs())) return
    throw new RefusedPeerError(`more than ${BYTES.burst} bytes of sync in a minute`)
  }

  /** A fault of the network ends the exchange, a fault of the device the connection. */
  #failed(link: Link, stream: Stream | undefined, error: unknown): void {
    const cause = asError(error)
    stream?.abort(cause)
    if (!isFaultOfPeer(cause)) return
    const { device, name, organization } = link
    const fields = { device, name, organization, reason: cause.message }
    this.#options.strangers.tell(link.peer, 'rendezvous.device-misbehaves', fields)
    abortConnection(link.connection, cause)
  }
}
