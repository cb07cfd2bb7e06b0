/** Sync over libp2p streams: with whoever is met, now and then with someone, and at once with registries. */
import type { Stream } from '@libp2p/interface'
import type { Cancellable, Clock } from '../../protocol/clock.ts'
import type { Envelope } from '../../protocol/envelope.ts'
import type { FrameChannel } from '../../protocol/frame-channel.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import { FRAME_BYTES } from '../../protocol/limits.ts'
import type { Log } from '../../protocol/log.ts'
import type { OrganizationState } from '../../protocol/state.ts'
import { syncable } from '../../protocol/sync.ts'
import { answerSync, offerSync, type SyncParty } from '../../protocol/sync-exchange.ts'
import { frameChannel } from './frames.ts'
import type { Link, Links } from './links.ts'
import type { MeshNode } from './node.ts'
import { fraction } from './redial.ts'
import { serve } from './streams.ts'
import { SyncPace } from './sync-pace.ts'

export const SYNC_PROTOCOL = '/nexodus/sync/1'
/** Milliseconds of a whole exchange: 10,000 devices on a slow link. */
const EXCHANGE_MS = 30_000
/** Milliseconds after which a new link is synced once more: what was published while gossip was
 *  not up on it yet. */
const AGAIN_MS = 3000
/** Milliseconds between syncs with a random link: between the two. */
const LEAST_PAUSE_MS = 60_000
const MOST_PAUSE_MS = 90_000
/** Exchanges in a row while each teaches something: one side's issuer may vouch for the other's
 *  certificate, and that for the first one's update. */
const ROUNDS = 3
/** Milliseconds that publications wait for each other on their way to a registry. */
const PUSH_MS = 50
const INBOUND_STREAMS = 4
/** Frames that may wait to be read: 32 MB. */
const WAITING = 512

export interface SyncOptions {
  readonly links: Links
  state(): OrganizationState
  receive(envelope: Envelope, from: DeviceId | 'registry'): 'accept' | 'ignore'
  /** Tells in gossip what a sync has taught. */
  publish(bytes: Uint8Array): Promise<void>
  onFault(link: Link, error: unknown): void
  readonly random: (n: number) => Uint8Array
  readonly clock: Clock
  readonly log: Log
}

interface PacedOptions extends SyncOptions {
  readonly pace: SyncPace
}

export interface Sync {
  /** Tells every registry that is connected. */
  push(envelope: Envelope): void
  stop(): void
}

export async function startSync(mesh: MeshNode, options: SyncOptions): Promise<Sync> {
  const pace = new SyncPace(options)
  const timers = new Set<Cancellable>()
  const later = (ms: number, task: () => void): void => {
    const timer = options.clock.after(ms, () => {
      timers.delete(timer)
      task()
    })
    timers.add(timer)
  }
  const offer = (link: Link, pushed: readonly Envelope[] = []): void => {
    offerOn(link, pushed, { ...options, pace }).catch((error: unknown) =>
      options.onFault(link, error),
    )
  }
  await serve(
    mesh,
    options.links,
    SYNC_PROTOCOL,
    { maxInboundStreams: INBOUND_STREAMS },
    async (stream, link) => {
      const signal = AbortSignal.timeout(EXCHANGE_MS)
      pace.begin(link)
      const channel = channelOn(link, stream, signal, { ...options, pace })
      await withTeachings(link, options, (party) => answerSync(channel, party))
      await stream.close({ signal })
    },
    options.onFault,
  )
  options.links.onUp((link) => {
    if (link.connection.direction !== 'outbound') return
    offer(link)
    later(AGAIN_MS, () => offer(link))
  })
  const meetSomeone = (): void => {
    const links = options.links.all()
    const link = links[Math.floor(fraction(options.random) * links.length)]
    if (link !== undefined) offer(link)
    later(pause(options), meetSomeone)
  }
  later(pause(options), meetSomeone)
  return {
    push: pusher(options, later, offer),
    stop: () => {
      for (const timer of timers) timer.cancel()
    },
  }
}

function pause({ random }: SyncOptions): number {
  return LEAST_PAUSE_MS + fraction(random) * (MOST_PAUSE_MS - LEAST_PAUSE_MS)
}

function pusher(
  { links }: SyncOptions,
  later: (ms: number, task: () => void) => void,
  offer: (link: Link, pushed: readonly Envelope[]) => void,
): (envelope: Envelope) => void {
  let waiting: Envelope[] = []
  return (envelope) => {
    waiting.push(envelope)
    if (waiting.length > 1) return
    later(PUSH_MS, () => {
      const pushed = waiting
      waiting = []
      for (const link of links.all()) if (link.who.kind === 'registry') offer(link, pushed)
    })
  }
}

async function offerOn(
  link: Link,
  pushed: readonly Envelope[],
  options: PacedOptions,
): Promise<void> {
  for (let round = 0; round < ROUNDS && link.connection.status === 'open'; round++) {
    if ((await offerOnce(link, round === 0 ? pushed : [], options)) === 0) return
  }
}

async function offerOnce(
  link: Link,
  pushed: readonly Envelope[],
  options: PacedOptions,
): Promise<number> {
  const signal = AbortSignal.timeout(EXCHANGE_MS)
  const stream = await link.connection.newStream(SYNC_PROTOCOL, {
    signal,
    runOnLimitedConnection: true,
  })
  try {
    const channel = channelOn(link, stream, signal, options)
    const taught = await withTeachings(link, options, (party) => offerSync(channel, party, pushed))
    await stream.close({ signal })
    return taught
  } catch (error) {
    stream.abort(error instanceof Error ? error : new Error(String(error)))
    throw error
  }
}

function channelOn(
  link: Link,
  stream: Stream,
  signal: AbortSignal,
  { pace }: PacedOptions,
): FrameChannel {
  const onBytes = (count: number): void => pace.spend(link, count)
  return frameChannel(stream, FRAME_BYTES, signal, { waiting: WAITING, onBytes })
}

/** Runs an exchange; publishes what it taught, also when it breaks off half-way. Resolves to how much. */
async function withTeachings(
  link: Link,
  options: SyncOptions,
  exchange: (party: SyncParty) => Promise<void>,
): Promise<number> {
  const from = link.who.kind === 'device' ? link.who.device : 'registry'
  const taught: Uint8Array[] = []
  try {
    await exchange({
      syncable: () => syncable(options.state(), options.clock.now()),
      receive: (envelope) => {
        if (options.receive(envelope, from) === 'accept') taught.push(envelope.bytes)
      },
    })
  } finally {
    for (const bytes of taught) await options.publish(bytes)
  }
  return taught.length
}
