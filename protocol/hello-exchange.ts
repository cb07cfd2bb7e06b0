/** Hello exchange: the order of a hello's messages (SPEC §7.1): greeting ⇄ greeting, proof ⇄ proof. */
import { currentManifest } from './belief.ts'
import type { Envelope } from './envelope.ts'
import type { FrameChannel } from './frame-channel.ts'
import {
  encodeGreeting,
  type Greeting,
  HELLO_BYTES,
  type HelloVerdict,
  judgeHello,
  parseGreeting,
  proveHello,
} from './hello.ts'
import type { DeviceId, DeviceKeyPair, IssuerKeyPair, OrganizationId } from './keys.ts'
import { approvalOf, lockOf } from './lock.ts'
import type { OrganizationState } from './state.ts'
import type { Seconds } from './time.ts'

/** Who says hello for an organization. */
export interface HelloParty {
  readonly organization: OrganizationId
  /** A device's key; of a registry its issuer's key. */
  readonly key: DeviceKeyPair | IssuerKeyPair
  /** The device that `key` belongs to; undefined of a registry. */
  readonly device: DeviceId | undefined
  /** Belief at this moment. */
  state(): OrganizationState
  /** Called in the same turn as the judgement: belief with what an admitted peer's envelopes taught. */
  learn(state: OrganizationState): void
}

/** The connection a hello is said on. */
export interface HelloConnection {
  /** libp2p peer ids as text. */
  readonly ours: string
  readonly theirs: string
  /** The device that `theirs` belongs to, where it is an Ed25519 peer id. */
  readonly peerDevice: DeviceId | undefined
  /** 16 fresh random bytes. */
  readonly nonce: Uint8Array
  now(): Seconds
}

/** A device's side, whoever dialled: greets at once. Throws MalformedError or BadSignatureError at the
 *  other's fault, or what the channel throws. */
export async function offerHello(
  channel: FrameChannel,
  connection: HelloConnection,
  party: HelloParty,
): Promise<HelloVerdict> {
  await channel.write(greetingOf(party, connection))
  return concludeHello(channel, connection, party, parseGreeting(await channel.read()))
}

/** A registry's side: learns from the other's greeting which organization it is to speak for.
 *  `partyOf` says undefined for one that it does not serve. */
export async function answerHello(
  channel: FrameChannel,
  connection: HelloConnection,
  partyOf: (organization: OrganizationId) => HelloParty | undefined,
): Promise<{ readonly party: HelloParty | undefined; readonly verdict: HelloVerdict }> {
  const greeting = parseGreeting(await channel.read())
  const party = partyOf(greeting.organization)
  if (party === undefined) return { party, verdict: { ok: false, refusal: 'wrong-organization' } }
  await channel.write(greetingOf(party, connection))
  return { party, verdict: await concludeHello(channel, connection, party, greeting) }
}

async function concludeHello(
  channel: FrameChannel,
  connection: HelloConnection,
  party: HelloParty,
  theirs: Greeting,
): Promise<HelloVerdict> {
  // A proof for another organization would convince nobody and tell a stranger about ours.
  if (theirs.organization !== party.organization)
    return { ok: false, refusal: 'wrong-organization' }
  const { organization, key } = party
  await channel.write(proveHello(organization, key, connection, theirs.nonce, connection.now()))
  const proof = await channel.read()
  const state = party.state()
  const verdict = judgeHello(state, theirs, proof, connection, connection.now())
  if (verdict.ok && verdict.state !== state) party.learn(verdict.state)
  return verdict
}

function greetingOf(party: HelloParty, connection: HelloConnection): Uint8Array {
  return encodeGreeting({
    version: 1,
    organization: party.organization,
    nonce: connection.nonce,
    envelopes: vouchingEnvelopes(party.state(), party.device, connection.now()),
  })
}

/** Bytes of a greeting that are not envelopes, with room. */
const GREETING_OVERHEAD = 256
/** With a device's own certificate, its approval and the manifest they are the six of a greeting. */
const ISSUER_CERTIFICATES = 3

/** What vouches for a device (or, without one, for the registry): its newest membership certificate,
 *  issuer certificates, the approval that a lock demands, and the manifest in force where all fit a greeting. */
export function vouchingEnvelopes(
  state: OrganizationState,
  device: DeviceId | undefined,
  now: Seconds,
): readonly Uint8Array[] {
  const [own] = [...state.memberships.values()]
    .filter(({ body }) => body.device === device)
    .toSorted((a, b) => b.body.notBefore - a.body.notBefore)
  const issuers = [...state.issuerCertificates]
    .filter(([, { body }]) => now < body.notAfter)
    .toSorted(
      ([a, x], [b, y]) =>
        Number(b === own?.signer) - Number(a === own?.signer) ||
        y.body.notBefore - x.body.notBefore,
    )
    .slice(0, ISSUER_CERTIFICATES)
    .map(([, envelope]) => envelope)
  const lock = lockOf(state, now)
  const approval = own && lock && approvalOf(state, lock, own.body)
  return fitting([own, ...issuers, approval, currentManifest(state, now)])
}

function fitting(envelopes: readonly (Envelope | undefined)[]): readonly Uint8Array[] {
  let room = HELLO_BYTES - GREETING_OVERHEAD
  const kept: Uint8Array[] = []
  for (const envelope of envelopes) {
    if (envelope === undefined || envelope.bytes.length > room) continue
    room -= envelope.bytes.length + 8
    kept.push(envelope.bytes)
  }
  return kept
}
