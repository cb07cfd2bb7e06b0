/** Proof of possession: a request comes from who holds the device key, is meant for this registry, is
 *  fresh, and is not one that was seen before. */
import { z } from 'zod'
import { type AgreementPublicKey, parseAgreementPublicKey } from '../crypto/agreement.ts'
import { toBase64 } from '../crypto/bytes.ts'
import { KeyError } from '../crypto/keys.ts'
import { signingDevice } from '../protocol/envelope.ts'
import { type DeviceId, deviceKeyOf, type OrganizationId } from '../protocol/keys.ts'
import { CLOCK_TOLERANCE, PROOF_LIFETIME } from '../protocol/limits.ts'
import { type ProofPurpose, proofProblem } from '../protocol/proof.ts'
import type { Seconds } from '../protocol/time.ts'
import { Refused } from './refusal.ts'
import { openSent } from './sent-envelope.ts'
import { collection } from './store/collection.ts'
import type { Database, Transaction } from './store/database.ts'

/** Proofs seen, by the moment from which they are not fresh and their id. */
const SEEN = collection('proof', z.strictObject({}))

/** Who asked, as proved. */
export interface Possession {
  readonly device: DeviceId
  /** UNKNOWN_ORGANIZATION at an enrolment. */
  readonly organization: OrganizationId
  readonly wireguardKey: AgreementPublicKey
  /** Names the proof among those seen. */
  readonly proofId: string
}

/** Keys as a request names them, base64. */
export interface ClaimedKeys {
  readonly deviceKey: string
  readonly wireguardKey: string
}

/** @param text base64 of a `proof` envelope
 *  @param wanted `audience` is our public URL
 *  Throws Refused (proof-invalid, proof-not-fresh). Whether it was seen before: `spendProof`. */
export function provePossession(
  text: string,
  wanted: { readonly purpose: ProofPurpose; readonly audience: string; readonly field: string },
  now: Seconds,
): Possession {
  const { purpose, audience, field } = wanted
  const envelope = openSent(text, 'proof', (why) => invalid(why, field))
  const { body } = envelope
  // The nonce is the device's own: it makes two proofs of one second two.
  const problem = proofProblem(body, { purpose, audience, nonce: body.nonce }, now)
  if (problem === 'clock') {
    const ahead = body.issuedAt - now
    throw new Refused(
      'proof-not-fresh',
      `the device's clock is ${Math.abs(ahead)} s ${ahead > 0 ? 'ahead of' : 'behind'} the registry's (set the clock, or retry)`,
      { field },
    )
  }
  if (problem !== undefined) {
    const is = problem === 'purpose' ? body.purpose : body.audience
    const want = problem === 'purpose' ? purpose : audience
    throw invalid(`its ${problem} is "${is.slice(0, 80)}", want "${want}"`, field)
  }
  return {
    device: signingDevice(envelope),
    organization: envelope.organization,
    wireguardKey: parseWireguardKey(body.wireguardKey, field),
    proofId: `${momentOf(body.issuedAt + PROOF_LIFETIME)}/${envelope.id}`,
  }
}

function parseWireguardKey(bytes: Uint8Array, field: string): AgreementPublicKey {
  try {
    return parseAgreementPublicKey(bytes)
  } catch (error) {
    throw error instanceof KeyError ? invalid(error.message, field) : error
  }
}

function invalid(why: string, field: string): Refused {
  return new Refused('proof-invalid', `the proof of possession does not hold: ${why}`, { field })
}

/** In the transaction that the proof is for. Throws Refused (proof-replayed). */
export async function spendProof(transaction: Transaction, { proofId }: Possession): Promise<void> {
  if ((await transaction.get(SEEN, proofId)) !== undefined) {
    throw new Refused('proof-replayed', 'this very request was made before (sign a new proof)')
  }
  transaction.put(SEEN, proofId, {})
}

/** Forgets proofs that have not been fresh for a while: their date refuses them. */
export async function forgetProofs(database: Database, now: Seconds): Promise<void> {
  const ended = momentOf(now - CLOCK_TOLERANCE)
  for (;;) {
    const over: string[] = []
    for await (const { id } of database.list(SEEN, { limit: FORGOTTEN_AT_ONCE })) {
      if (id < ended) over.push(id)
    }
    // Nobody writes one again: there is nothing to read first.
    await database.transact('proofs', async (transaction) => {
      for (const id of over) transaction.delete(SEEN, id)
    })
    if (over.length < FORGOTTEN_AT_ONCE) return
  }
}
/** Their keys are well below what an engine takes in one commit. */
const FORGOTTEN_AT_ONCE = 2000

/** Sorts as text. */
function momentOf(moment: number): string {
  return String(moment).padStart(12, '0')
}

/** The keys a request names must be those it proves. Throws Refused (proof-invalid). */
export function checkClaimedKeys(possession: Possession, claimed: ClaimedKeys): void {
  const proved = {
    deviceKey: toBase64(deviceKeyOf(possession.device)),
    wireguardKey: toBase64(possession.wireguardKey),
  }
  for (const field of ['deviceKey', 'wireguardKey'] as const) {
    if (claimed[field] !== proved[field]) {
      throw invalid(`it is about another ${field}`, field)
    }
  }
}
