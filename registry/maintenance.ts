/** What the registry does by itself, now and then: it deletes what is over and renews issuers in time. */
import { forgetClaims } from './api/idempotency.ts'
import type { RegistryContext } from './context.ts'
import { type Connected, lookForDevices } from './device-presence.ts'
import { forgetGuesses } from './guess-lock.ts'
import { openIssuerExpiryTeller } from './issuer-expiry.ts'
import { certifyConnected, renewIssuers } from './issuer-renewal.ts'
import { purgeOrganizations } from './organization-purge.ts'
import { forgetProofs } from './possession.ts'
import type { Services } from './start.ts'

/** Milliseconds. */
const EVERY_MS = 5 * 60_000

/** The first round runs at once. A round that fails is logged, and the next one tries again. */
export function startMaintenance(
  context: RegistryContext,
  services: Services,
  connected: Connected,
): AsyncDisposable {
  const { clock, database, log } = context
  const parts = { ...context, ...services }
  const expiry = openIssuerExpiryTeller(parts)
  let round: Promise<void> | undefined
  const tasks = {
    sessions: () => services.identity.sweep(),
    authorizations: () => services.authorizations.forgetExpired(),
    tokens: () => services.tokens.forgetExpired(),
    logins: () => services.logins.forgetExpired(),
    claims: () => forgetClaims(context),
    devices: () => lookForDevices({ ...context, issuing: services.issuing }, connected),
    invitations: () => services.invitations.forgetExpired(),
    organizations: () => purgeOrganizations({ ...context, issuing: services.issuing }),
    guesses: () => forgetGuesses(database, clock.now()),
    proofs: () => forgetProofs(database, clock.now()),
    issuers: () => renewIssuers({ ...context, issuing: services.issuing }),
    expiry: () => expiry.look(),
    roots: () => services.custody.look(),
    overlaps: () => certifyConnected({ ...context, issuing: services.issuing }, connected),
  }
  const run = async () => {
    for (const [task, body] of Object.entries(tasks)) {
      await body().catch((error: unknown) => log('error', 'maintenance.failed', { task, error }))
    }
  }
  const begin = () => {
    round ??= run().finally(() => {
      round = undefined
    })
  }
  begin()
  const timer = clock.every(EVERY_MS, begin)
  return {
    async [Symbol.asyncDispose]() {
      timer.cancel()
      await round
    },
  }
}
