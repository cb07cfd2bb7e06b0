/** Why over libp2p streams: a member asks another for its evidence about the path between the two, and gets
 *  nobody else's (SPEC §11). */
import type { Clock } from '../../protocol/clock.ts'
import { MalformedError } from '../../protocol/errors.ts'
import type { Evidence } from '../../protocol/evidence.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import { Pace } from '../../protocol/pace.ts'
import {
  ANSWER_BYTES,
  encodeAnswer,
  encodeQuestion,
  parseAnswer,
  parseQuestion,
  QUESTION_BYTES,
  WHY_PROTOCOL,
  type WhyAnswer,
} from '../../protocol/why.ts'
import { frameChannel } from './frames.ts'
import { deviceOfLink, type Link, type LinkKind, type Links } from './links.ts'
import type { MeshNode } from './node.ts'
import { serve } from './streams.ts'

/** Milliseconds for an answer by one link: a slow circuit, and a busy device. */
const LINK_MS = 4000
/** Links asked by, one after the other. */
const LINKS = 3
/** Streams of one connection at once. */
const STREAMS = 2
/** A person asks now and then. An answer costs a look at WireGuard, up to 12 ms at a thousand peers. */
const EACH = { burst: 8, perSecond: 0.5 } as const
const ALL = { burst: 16, perSecond: 4 } as const

/** What came of a question. */
export type WhyReply =
  | {
      readonly kind: 'answered'
      readonly evidence: Evidence
      /** By how much the other's clock is ahead of ours, and by how much that may be wrong. Milliseconds. */
      readonly clockAheadMs: number
      readonly clockErrorMs: number
    }
  /** It was asked too often. */
  | { readonly kind: 'later'; readonly afterMs: number }
  /** Its version does not know the question. */
  | { readonly kind: 'not-understood' }
  /** It is connected and gave no answer. */
  | { readonly kind: 'unanswered'; readonly reason: string }
  /** No mesh connection; `refusal` is why we let it in no more, where that was lately. */
  | { readonly kind: 'not-connected'; readonly refusal: string | undefined }

export interface WhyOptions {
  readonly links: Links
  /** This side's evidence about the path between it and `to`. */
  evidence(to: DeviceId): Promise<Evidence>
  onFault(link: Link, error: unknown): void
  readonly clock: Clock
}

export interface Whys {
  /** By one of the links after the other, those that need no relay first. Never rejects. */
  ask(links: readonly Link[]): Promise<WhyReply>
}

export async function startWhys(mesh: MeshNode, options: WhyOptions): Promise<Whys> {
  const paces = { each: new Pace(EACH), all: new Pace(ALL) }
  await serve(
    mesh,
    options.links,
    WHY_PROTOCOL,
    { maxInboundStreams: STREAMS },
    async (stream, link) => {
      const signal = AbortSignal.timeout(LINK_MS)
      const device = deviceOfLink(link)
      if (device === undefined) throw new MalformedError('question: not from a device')
      const channel = frameChannel(stream, QUESTION_BYTES, signal)
      parseQuestion(await channel.read())
      await channel.write(encodeAnswer(await answerTo(device, paces, options)))
      await stream.close({ signal })
    },
    options.onFault,
  )
  return { ask: (links) => askBy(links, options) }
}

async function answerTo(
  device: DeviceId,
  paces: { readonly each: Pace; readonly all: Pace },
  { evidence, clock }: WhyOptions,
): Promise<WhyAnswer> {
  const nowMs = clock.monotonicMs()
  if (!paces.each.spend(device, 1, nowMs)) return { kind: 'later', afterMs: 1000 / EACH.perSecond }
  if (!paces.all.spend('all', 1, nowMs)) return { kind: 'later', afterMs: 1000 / ALL.perSecond }
  return { kind: 'evidence', evidence: await evidence(device) }
}

async function askBy(links: readonly Link[], options: WhyOptions): Promise<WhyReply> {
  let reply: WhyReply = { kind: 'not-connected', refusal: undefined }
  for (const link of links.toSorted((a, b) => rank(a.kind) - rank(b.kind)).slice(0, LINKS)) {
    try {
      return await askOn(link, options.clock)
    } catch (error) {
      options.onFault(link, error)
      const { name, message } = error instanceof Error ? error : new Error(String(error))
      if (name === 'UnsupportedProtocolError') return { kind: 'not-understood' }
      const isLate = name === 'TimeoutError' || name === 'AbortError'
      reply = {
        kind: 'unanswered',
        reason: isLate ? `no answer within ${LINK_MS / 1000} s` : message,
      }
    }
  }
  return reply
}

/** A circuit takes a relay's time; a link through the tunnel may hang with it. */
function rank(kind: LinkKind): number {
  return { direct: 0, circuit: 1, overlay: 2 }[kind]
}

async function askOn({ connection }: Link, clock: Clock): Promise<WhyReply> {
  const signal = AbortSignal.timeout(LINK_MS)
  const stream = await connection.newStream(WHY_PROTOCOL, { signal, runOnLimitedConnection: true })
  try {
    const channel = frameChannel(stream, ANSWER_BYTES, signal)
    const asked = { wallMs: clock.nowMs(), ms: clock.monotonicMs() }
    await channel.write(encodeQuestion())
    const answer = parseAnswer(await channel.read())
    const roundTripMs = clock.monotonicMs() - asked.ms
    await stream.close({ signal })
    if (answer.kind === 'later') return answer
    const { evidence } = answer
    const clockErrorMs = Math.ceil(roundTripMs / 2)
    const clockAheadMs = Math.round(evidence.nowMs - asked.wallMs - roundTripMs / 2)
    return { kind: 'answered', evidence, clockAheadMs, clockErrorMs }
  } catch (error) {
    stream.abort(error instanceof Error ? error : new Error(String(error)))
    throw error
  }
}
