/** Exit names over libp2p streams: a member that uses this device as its exit asks it for names, and gets what this
 *  host's own resolvers say (SPEC §13.5). */
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
/** Questions of one member, and of all. */
const EACH = { burst: 256, perSecond: 50 } as const
const ALL = { burst: 1024, perSecond: 400 } as const
/** Links asked by, one after the other. */
const LINKS = 2

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
  const paces = { each: new Pace(EACH), all: new Pace(ALL) }
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
  return { ask: (known, question) => askBy(known, question, onFault) }
}

async function askBy(
  links: readonly Link[],
  question: Uint8Array,
  onFault: ExitNamesOptions['onFault'],
): Promise<Uint8Array | undefined> {
  for (const link of links.toSorted((a, b) => rank(a.kind) - rank(b.kind)).slice(0, LINKS)) {
    try {
      return await askOn(link, question)
    } catch (error) {
      onFault(link, error)
    }
  }
  return undefined
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
