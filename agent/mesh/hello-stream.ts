/** The hello on a libp2p stream: who is at the other end of a connection? */
import type { Connection, PeerId, Stream } from '@libp2p/interface'
import type { Clock } from '../../protocol/clock.ts'
import type { FrameChannel } from '../../protocol/frame-channel.ts'
import {
  HELLO_BYTES,
  HELLO_PROTOCOL,
  type HelloPeer,
  type HelloVerdict,
} from '../../protocol/hello.ts'
import {
  answerHello,
  type HelloConnection,
  type HelloParty,
  offerHello,
} from '../../protocol/hello-exchange.ts'
import type { OrganizationId } from '../../protocol/keys.ts'
import { deviceOf } from './device-peer.ts'
import { frameChannel } from './frames.ts'
import { RefusedError } from './refused.ts'

const NONCE_BYTES = 16
/** Milliseconds; a little more than admission allows, which ends the connection first. */
const STREAM_MS = 4000

export interface HelloOptions {
  readonly party: HelloParty
  readonly random: (n: number) => Uint8Array
  readonly clock: Clock
}

/** Says hello on `given`, or on a stream that it opens. Throws RefusedError when the other is no member,
 *  MalformedError or BadSignatureError at its fault, or whatever breaks the stream. */
export async function sayHello(
  self: PeerId,
  connection: Connection,
  given: Stream | undefined,
  { party, random, clock }: HelloOptions,
): Promise<HelloPeer> {
  const signal = AbortSignal.timeout(STREAM_MS)
  const stream =
    given ?? (await connection.newStream(HELLO_PROTOCOL, { signal, runOnLimitedConnection: true }))
  const channel = frameChannel(stream, HELLO_BYTES, signal)
  const said: HelloConnection = {
    ours: self.toString(),
    theirs: connection.remotePeer.toString(),
    peerDevice: deviceOf(connection.remotePeer),
    nonce: random(NONCE_BYTES),
    now: () => clock.now(),
  }
  const verdict =
    given === undefined
      ? await offerHello(channel, said, party)
      : await answerOwn(channel, said, party)
  if (!verdict.ok) throw new RefusedError(verdict.refusal)
  stream.close({ signal }).catch((error: unknown) => stream.abort(error as Error))
  return verdict.who
}

/** Who dialled greets first: a stranger who does not know our organization learns nothing of it. */
async function answerOwn(
  channel: FrameChannel,
  said: HelloConnection,
  party: HelloParty,
): Promise<HelloVerdict> {
  const partyOf = (wanted: OrganizationId) => (wanted === party.organization ? party : undefined)
  return (await answerHello(channel, said, partyOf)).verdict
}
