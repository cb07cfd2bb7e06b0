/** Sync exchange: the order of a sync's messages (SPEC §7.2).
 *
 *      I → R   envelopes*  summary            what I has just learned, and what it holds in 16 bytes
 *      R → I   end                            they agree: done
 *      R → I   digest                         they do not:
 *      I → R   digest  ids+
 *      R → I   ids+  envelopes*  end          and at the same time
 *      I → R   envelopes*  end
 */
import { equal } from '../crypto/bytes.ts'
import { type Envelope, openEnvelope } from './envelope.ts'
import { MalformedError } from './errors.ts'
import type { FrameChannel } from './frame-channel.ts'
import {
  type Digest,
  difference,
  digestOf,
  encodeSyncMessage,
  idFrames,
  idsToCompare,
  isLastIdFrame,
  parseSyncMessage,
  type SyncMessage,
  summaryOf,
} from './sync.ts'

/** One side of an exchange. */
export interface SyncParty {
  /** What it holds and is worth sending now: `syncable(state, now)`. */
  syncable(): ReadonlyMap<string, Envelope>
  /** An envelope arrived, well-formed and truly signed. */
  receive(envelope: Envelope): void
}

/** Frames of ids in one exchange: 240,000 envelopes. */
const ID_FRAMES = 64
/** Frames of envelopes in one exchange and direction: 64 MB. */
const ENVELOPE_FRAMES = 1024

/** Starts a sync; `pushed` is sent first whatever the other holds. Resolves when both sides hold what
 *  either held. Throws MalformedError or BadSignatureError at the other's fault, or what the channel throws. */
export async function offerSync(
  channel: FrameChannel,
  party: SyncParty,
  pushed: readonly Envelope[] = [],
): Promise<void> {
  const ours = party.syncable()
  const digest = digestOf(ours.keys())
  await sendAll(
    channel,
    difference(
      new Map(pushed.map((each) => [each.id, each])),
      pushed.map(({ id }) => id),
      [],
    ),
  )
  await send(channel, { kind: 'summary', hash: summaryOf(digest) })
  const answer = await receive(channel)
  if (answer.kind === 'end') return
  if (answer.kind !== 'digest') throw outOfOrder(answer, 'digest or end')
  const compared = idsToCompare(ours.keys(), digest, answer.digest)
  await send(channel, { kind: 'digest', digest })
  await sendAll(channel, idFrames(compared))
  const theirs = await receiveIds(channel)
  await Promise.all([
    sendAll(channel, [...difference(ours, compared, theirs), { kind: 'end' }]),
    receiveEnvelopes(channel, party, 'end'),
  ])
}

/** Answers a sync; see `offerSync`. */
export async function answerSync(channel: FrameChannel, party: SyncParty): Promise<void> {
  const { hash } = await receiveEnvelopes(channel, party, 'summary')
  const ours = party.syncable()
  const digest = digestOf(ours.keys())
  if (equal(hash, summaryOf(digest))) return send(channel, { kind: 'end' })
  await send(channel, { kind: 'digest', digest })
  const compared = idsToCompare(ours.keys(), digest, await receiveDigest(channel))
  const theirs = await receiveIds(channel)
  await Promise.all([
    sendAll(channel, [
      ...idFrames(compared),
      ...difference(ours, compared, theirs),
      { kind: 'end' },
    ]),
    receiveEnvelopes(channel, party, 'end'),
  ])
}

async function send(channel: FrameChannel, message: SyncMessage): Promise<void> {
  await channel.write(encodeSyncMessage(message))
}

async function sendAll(channel: FrameChannel, messages: readonly SyncMessage[]): Promise<void> {
  for (const message of messages) await send(channel, message)
}

async function receive(channel: FrameChannel): Promise<SyncMessage> {
  return parseSyncMessage(await channel.read())
}

async function receiveDigest(channel: FrameChannel): Promise<Digest> {
  const message = await receive(channel)
  if (message.kind !== 'digest') throw outOfOrder(message, 'digest')
  return message.digest
}

async function receiveIds(channel: FrameChannel): Promise<readonly string[]> {
  const all: string[] = []
  for (let frame = 0; frame < ID_FRAMES; frame++) {
    const message = await receive(channel)
    if (message.kind !== 'ids') throw outOfOrder(message, 'ids')
    all.push(...message.ids)
    if (isLastIdFrame(message.ids)) return all
  }
  throw new MalformedError(`sync: more than ${ID_FRAMES} frames of ids`)
}

/** Envelopes until the message that ends them, which is returned. */
async function receiveEnvelopes<K extends 'end' | 'summary'>(
  channel: FrameChannel,
  party: SyncParty,
  last: K,
): Promise<SyncMessage & { kind: K }> {
  for (let frame = 0; frame <= ENVELOPE_FRAMES; frame++) {
    const message = await receive(channel)
    if (message.kind === last) return message as SyncMessage & { kind: K }
    if (message.kind !== 'envelopes') throw outOfOrder(message, `envelopes or ${last}`)
    for (const bytes of message.envelopes) party.receive(openEnvelope(bytes))
  }
  throw new MalformedError(`sync: more than ${ENVELOPE_FRAMES} frames of envelopes`)
}

function outOfOrder(message: SyncMessage, wanted: string): MalformedError {
  return new MalformedError(`sync: got ${message.kind}, want ${wanted}`)
}
