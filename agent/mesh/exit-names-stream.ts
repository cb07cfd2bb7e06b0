/** Exit names over libp2p streams: a member that uses this device as its exit asks it for names, and gets what this
 *  host's own resolvers say (SPEC §13.6). */
import type { Clock } from '../../protocol/clock.ts'
import { MalformedError } from '../../protocol/errors.ts'
import {
  EXIT_ANSWER_BYTES,
  EXIT_NAMES_PROTOCOL,
  EXIT_QUESTION_BYTES,
} from '../../protocol/exit-names.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import { Pace } from '../../protocol/pace.ts'
import { frameChannel } from './frames.ts'
import { deviceOfLink, type Link, type LinkKind, type Links } from './links.ts'
import type { MeshNode } from './node.ts'
import { serve } from './streams.ts'

/** Milliseconds for an answer: two rounds over several resolvers. */
const ANSWER_MS = 8000
/** Streams of one connection at once: a page of the web asks for dozens of names together. */
const STREAMS = 64
/** Questions of one member, and of all. Well below what its streams of every kind may be (stream-pace.ts): more would
 *  throw it out of the mesh. */
export const EXIT_QUESTIONS = { burst: 128, perSecond: 16 } as const
const ALL = { burst: 1024, perSecond: 400 } as const
/** Links asked by, and milliseconds until the next is asked, too: one that is half open says nothing for long. */
const LINKS = 2
const NEXT_MS = 1000

export interface ExitNamesOptions {
  readonly links: Links
  /** The answer to a DNS message of a member; undefined: none. Never rejects. */
  exitAnswer(from: DeviceId, question: Uint8Array): Promise<Uint8Array | undefined>
  onFault(link: Link, error: unknown): void
  readonly clock: Clock
}

export interface ExitNames {
  /** Undefined where no answer came. Never rejects. */
  ask(links: readonly Link[], question: Uint8Array): Promise<Uint8Array | undefined>
}

export async function startExitNames(
  mesh: MeshNode,
  options: ExitNamesOptions,
): Promise<ExitNames> {
  const { links, onFault } = options
  const paces = {
    each: new Pace(EXIT_QUESTIONS),
    all: new Pace(ALL),
    own: new Pace(EXIT_QUESTIONS),
  }
  await serve(
    mesh,
    links,
    EXIT_NAMES_PROTOCOL,
    { maxInboundStreams: STREAMS },
    async (stream, link) => {
      const signal = AbortSignal.timeout(ANSWER_MS)
      const device = deviceOfLink(link)
      if (device === undefined) throw new MalformedError('exit names: not from a device')
      const channel = frameChannel(stream, EXIT_QUESTION_BYTES, signal)
      const question = await channel.read()
      const nowMs = options.clock.monotonicMs()
      const isPaced = paces.each.spend(device, 1, nowMs) && paces.all.spend('all', 1, nowMs)
      const answer = isPaced ? await options.exitAnswer(device, question) : undefined
      if (answer !== undefined) await channel.write(answer)
      await stream.close({ signal })
    },
    onFault,
  )
  const mayAsk = ({ peer }: Link): boolean => paces.own.spend(peer, 1, options.clock.monotonicMs())
  return {
    ask: async (known, question) => {
      const [link] = known
      return link !== undefined && mayAsk(link) ? askBy(known, question, options) : undefined
    },
  }
}

/** The first answer counts. */
async function askBy(
  links: readonly Link[],
  question: Uint8Array,
  { onFault, clock }: ExitNamesOptions,
): Promise<Uint8Array | undefined> {
  const sorted = links.toSorted((a, b) => rank(a.kind) - rank(b.kind)).slice(0, LINKS)
  let isAnswered = false
  const tries = sorted.map(async (link, index) => {
    if (index > 0) await clock.sleep(index * NEXT_MS)
    if (isAnswered) throw new Error('answered by another link')
    try {
      const answer = await askOn(link, question)
      isAnswered = true
      return answer
    } catch (error) {
      onFault(link, error)
      throw error
    }
  })
  return Promise.any(tries).catch(() => undefined)
}

/** Through the tunnel as all that the exit carries; a circuit takes a relay's time. */
function rank(kind: LinkKind): number {
  return { direct: 0, overlay: 1, circuit: 2 }[kind]
}

async function askOn({ connection }: Link, question: Uint8Array): Promise<Uint8Array> {
  const signal = AbortSignal.timeout(ANSWER_MS)
  const options = { signal, runOnLimitedConnection: true }
  const stream = await connection.newStream(EXIT_NAMES_PROTOCOL, options)
  try {
    const channel = frameChannel(stream, EXIT_ANSWER_BYTES, signal)
    await channel.write(question)
    const answer = await channel.read()
    await stream.close({ signal })
    return answer
  } catch (error) {
    stream.abort(error instanceof Error ? error : new Error(String(error)))
    throw error
  }
}
