/** Issuer renewal: the root signs the issuer's certificate again, or another issuer in its place. */
import { generateSigningKeyPair } from '../crypto/signing.ts'
import type { Clock } from '../protocol/clock.ts'
import type { OrganizationId } from '../protocol/keys.ts'
import type { Log } from '../protocol/log.ts'
import { HEAD, type Head, rangesOf } from './head.ts'
import { isCertificateDue, makeIssuerCertificate } from './issuer.ts'
import type { Issuing } from './issuing.ts'
import { Refused } from './refusal.ts'
import type { Database } from './store/database.ts'

export interface IssuerRenewalParts {
  readonly issuing: Issuing
  readonly database: Database
  readonly clock: Pick<Clock, 'now'>
  readonly log: Log
}

/** Renews issuer certificates of which two thirds have passed, and says which it cannot renew for want
 *  of the root key. To be called every hour or so. */
export async function renewIssuers(parts: IssuerRenewalParts): Promise<void> {
  for (const organization of await parts.issuing.organizations()) {
    const head = await parts.database.get(HEAD, organization)
    if (head === undefined || head.deletedAt !== undefined) continue
    if (isCertificateDue(head.issuer, parts.clock.now())) {
      await renewIssuer(parts, organization, head)
    }
  }
}

async function renewIssuer(
  { issuing, log }: IssuerRenewalParts,
  organization: OrganizationId,
  head: Head,
): Promise<void> {
  const root = await issuing.keys.root(organization)
  if (root === undefined) {
    log('warn', 'issuer.ends-without-root', {
      organization,
      notAfter: new Date(head.issuer.notAfter * 1000).toISOString(),
      todo: `put the root key back at ${issuing.keys.rootPath(organization)}, for an hour at least`,
    })
    return
  }
  const key = await issuing.issuerKey(organization)
  const isRenewed = await issuing.change(organization, async (change) => {
    // Another registry may have been first.
    if (!isCertificateDue(change.head.issuer, change.now)) return false
    const made = { key: key.publicKey, ranges: rangesOf(organization, change.head) }
    change.useIssuer(key, makeIssuerCertificate(organization, root, made, change.now))
    return true
  })
  if (isRenewed) log('info', 'issuer.renewed', { organization })
}

/** Another issuer key, for one that may have leaked: every device's certificate is issued anew, and what
 *  the old issuer signed counts no more. Throws Refused (root-key-missing). */
export async function rotateIssuer(
  { issuing, log }: Omit<IssuerRenewalParts, 'database' | 'clock'>,
  organization: OrganizationId,
): Promise<void> {
  const root = await issuing.keys.root(organization)
  if (root === undefined) {
    throw new Refused(
      'root-key-missing',
      `another issuer needs the root key (put it at ${issuing.keys.rootPath(organization)})`,
    )
  }
  const next = generateSigningKeyPair<'issuer'>()
  await issuing.keys.saveNextIssuer(organization, next)
  await issuing.change(organization, async (change) => {
    const made = { key: next.publicKey, ranges: rangesOf(organization, change.head) }
    change.useIssuer(next, makeIssuerCertificate(organization, root, made, change.now))
    await change.publishManifest()
    await change.certifyAll()
  })
  await issuing.issuerKey(organization) // puts the key in its place
  log('warn', 'issuer.rotated', { organization })
}
