/** Root custody: the root key leaves the registry and comes back. What is left without it is an issuer
 *  certificate, which ends (issuer-expiry.ts). */
import { EncodingError, fromBase64, toBase64 } from '../crypto/bytes.ts'
import { KeyError } from '../crypto/keys.ts'
import { seedOf, signingKeyPairFromSeed } from '../crypto/signing.ts'
import type { Clock } from '../protocol/clock.ts'
import { type OrganizationId, organizationIdOf, parseKey } from '../protocol/keys.ts'
import type { Log } from '../protocol/log.ts'
import { proofProblem } from '../protocol/proof.ts'
import type { Act } from './act.ts'
import { audit } from './audit.ts'
import { eachOrganization } from './each-organization.ts'
import { HEAD } from './head.ts'
import type { Issuing } from './issuing.ts'
import { Refused } from './refusal.ts'
import { openSent } from './sent-envelope.ts'
import type { Database } from './store/database.ts'

export interface RootCustody {
  /** Base64 of the root key's seed, for its owner to keep. It stays here until `forget`. Throws Refused
   *  (root-key-missing). */
  export(organization: OrganizationId, by: Act): Promise<string>
  /** Deletes the root key, everywhere that this registry keeps it, on a proof that its owner has it. Done
   *  again it does no harm, so that a lost answer loses nothing. Throws Refused (root-key-invalid).
   *  @param proof base64 of a proof envelope, purpose `root-forget`, signed by the root key */
  forget(organization: OrganizationId, proof: string, by: Act): Promise<void>
  /** Throws Refused (root-key-invalid).
   *  @param key base64 of the seed */
  import(organization: OrganizationId, key: string, by: Act): Promise<void>
  /** Says, once a day, where a root key is left that its owner keeps elsewhere: at another registry, or
   *  from a file put back by hand. To be called every few minutes. */
  look(): Promise<void>
}

/** Seconds between words on one organization. */
const TOLD_EVERY = 86_400

export interface RootCustodyParts {
  readonly database: Database
  readonly issuing: Issuing
  readonly publicUrl: string
  readonly clock: Pick<Clock, 'now'>
  readonly log: Log
}

export function openRootCustody(parts: RootCustodyParts): RootCustody {
  const told = new Map<OrganizationId, number>()
  return {
    export: (organization, by) => exportRoot(parts, organization, by),
    forget: (organization, proof, by) => forgetRoot(parts, organization, proof, by),
    import: (organization, key, by) => importRoot(parts, organization, key, by),
    look: () => tellRootsLeft(parts, told),
  }
}

async function exportRoot(
  { issuing, log }: RootCustodyParts,
  organization: OrganizationId,
  by: Act,
): Promise<string> {
  const root = await issuing.keys.root(organization)
  if (root === undefined) {
    throw new Refused('root-key-missing', 'the root key is not here: it was exported already')
  }
  // Entered before it is given out.
  await issuing.change(organization, ({ transaction }) =>
    audit(transaction, organization, by, { action: 'root.exported', subject: organization }),
  )
  log('warn', 'root.exported', { organization })
  return toBase64(seedOf(root))
}

async function forgetRoot(
  { issuing, publicUrl, clock, log }: RootCustodyParts,
  organization: OrganizationId,
  proof: string,
  by: Act,
): Promise<void> {
  checkProof(proof, organization, publicUrl, clock)
  await issuing.keys.forgetRoot(organization)
  await issuing.change(organization, async (change) => {
    if (change.head.rootAwaySince !== undefined) return
    change.head = { ...change.head, rootAwaySince: change.now }
    await audit(change.transaction, organization, by, {
      ...{ action: 'root.forgotten', subject: organization },
    })
  })
  log('warn', 'root.forgotten', { organization })
}

function checkProof(
  text: string,
  organization: OrganizationId,
  audience: string,
  clock: Pick<Clock, 'now'>,
): void {
  const invalid = (why: string, cause?: unknown) =>
    new Refused('root-key-invalid', `the proof of the root key does not hold: ${why}`, {
      ...{ field: 'proof', cause },
    })
  const { body, signerKey } = openSent(text, 'proof', invalid)
  if (organizationIdOf(parseKey<'root'>(signerKey, 'root')) !== organization) {
    throw invalid('it is signed by another key')
  }
  const wanted = { purpose: 'root-forget', audience, nonce: body.nonce } as const
  const problem = proofProblem(body, wanted, clock.now())
  if (problem !== undefined) throw invalid(`its ${problem} is not right`)
}

async function importRoot(
  { issuing, log }: RootCustodyParts,
  organization: OrganizationId,
  key: string,
  by: Act,
): Promise<void> {
  const root = rootOf(key)
  if (organizationIdOf(root.publicKey) !== organization) {
    throw new Refused('root-key-invalid', 'the key is the root of another organization', {
      field: 'key',
    })
  }
  await issuing.keys.saveRoot(organization, root)
  await issuing.change(organization, async (change) => {
    const { rootAwaySince: _, ...head } = change.head
    change.head = head
    await audit(change.transaction, organization, by, {
      ...{ action: 'root.imported', subject: organization },
    })
  })
  log('warn', 'root.imported', { organization })
}

/** Errors name no cause: it might tell something of the key. */
function rootOf(key: string) {
  try {
    return signingKeyPairFromSeed<'root'>(fromBase64(key))
  } catch (error) {
    if (!(error instanceof EncodingError) && !(error instanceof KeyError)) throw error
    throw new Refused('root-key-invalid', 'key: want base64 of 32 bytes', { field: 'key' })
  }
}

async function tellRootsLeft(
  { database, issuing, clock, log }: RootCustodyParts,
  told: Map<OrganizationId, number>,
): Promise<void> {
  await eachOrganization({ issuing, log }, 'roots', async (organization) => {
    const head = await database.get(HEAD, organization)
    if (head?.rootAwaySince === undefined || head.deletedAt !== undefined) return
    if (clock.now() - (told.get(organization) ?? 0) < TOLD_EVERY) return
    if ((await issuing.keys.root(organization)) === undefined) return
    told.set(organization, clock.now())
    const todo = `it was exported: compare, then delete ${issuing.keys.rootPath(organization)}`
    log('warn', 'root.left-here', { organization, todo })
  })
}
