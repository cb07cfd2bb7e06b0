/** Enrolment: from nothing to a membership certificate, by device code or registration key. */

import { memberOf } from '../protocol/belief.ts'
import type { Clock } from '../protocol/clock.ts'
import { type Envelope, openEnvelope } from '../protocol/envelope.ts'
import { fingerprintOf } from '../protocol/fingerprint.ts'
import { deviceIdOf, type OrganizationId, parseOrganizationId } from '../protocol/keys.ts'
import { apply, emptyState } from '../protocol/state.ts'
import { OperatorError } from './errors.ts'
import { knownRegistries } from './known-registries.ts'
import {
  type Applicant,
  type Issued,
  type RegistryClient,
  RegistryRefusal,
} from './registry-client.ts'
import type { Join } from './state-directory.ts'

/** Milliseconds between questions whether an admin has agreed. */
const ADMIN_INTERVAL_MS = 30_000

export interface EnrolmentOptions {
  /** URL of the registry, `#organization` at its end pins the root before a byte is trusted. */
  readonly registry: string
  readonly organization: OrganizationId | undefined
  readonly registrationKey: string | undefined
  /** Shown to whoever is to approve. */
  announce(code: string, link: string, fingerprint: string): void
  /** Called when the device was approved and waits for an admin to agree. */
  waiting?(): void
  readonly clock: Clock
  /** Ends the wait for a person, by an AbortError. */
  readonly stop?: AbortSignal
}

export interface Enrolled {
  readonly join: Join
  readonly envelopes: readonly Envelope[]
}

/** Resolves when approved. Throws OperatorError where it is denied, expires, or what the registry
 *  issued does not hold together. */
export async function enrol(
  client: RegistryClient,
  by: Applicant,
  options: EnrolmentOptions,
): Promise<Enrolled> {
  await client.info()
  const issued = await refusalsExplained(
    options.registrationKey === undefined
      ? byDeviceCode(client, by, options)
      : client.enrol(by, { registrationKey: options.registrationKey }),
  )
  return verified(issued, by, options)
}

async function byDeviceCode(
  client: RegistryClient,
  by: Applicant,
  options: EnrolmentOptions,
): Promise<Issued> {
  const authorization = await client.authorize(by)
  options.announce(
    authorization.user_code,
    authorization.verification_uri_complete,
    fingerprintOf(deviceIdOf(by.deviceKey.publicKey)),
  )
  const enrolled = withCode(authorization.device_code, client, by, options)
  let deadline = options.clock.monotonicMs() + authorization.expires_in * 1000
  let intervalMs = authorization.interval * 1000
  while (options.clock.monotonicMs() < deadline) {
    await options.clock.sleep(intervalMs, options.stop)
    try {
      return await enrolled()
    } catch (error) {
      if (!(error instanceof RegistryRefusal) && !(error instanceof OperatorError)) throw error
      // RFC 8628 §3.5; a registry out of reach for a moment is asked again, too.
      if (error.code === 'slow_down') intervalMs += 5000
      else if (error instanceof RegistryRefusal && error.expiresIn !== undefined) {
        // A person has approved it, and an admin has to agree: that may take days.
        if (intervalMs < ADMIN_INTERVAL_MS) options.waiting?.()
        intervalMs = ADMIN_INTERVAL_MS
        deadline = options.clock.monotonicMs() + error.expiresIn * 1000
      } else if (error.code !== 'authorization_pending' && error.code !== 'ERR_REGISTRY')
        throw error
    }
  }
  throw new OperatorError(
    'ERR_ENROLMENT',
    'nobody approved the device in time (run nexd up again for a new code)',
  )
}

/** An attempt. The code gives its token only once, so it is kept; of a token that an attempt without an answer has
 *  used up, the device is enrolled, and gets what was lost by renewing. */
function withCode(
  deviceCode: string,
  client: RegistryClient,
  by: Applicant,
  { organization }: EnrolmentOptions,
): () => Promise<Issued> {
  let token: string | undefined
  let isAnswerLost = false
  return async () => {
    token ??= await client.token(deviceCode)
    try {
      return await client.enrol(by, { token })
    } catch (error) {
      const isRefused = error instanceof RegistryRefusal
      const isUsed = isAnswerLost && isRefused && error.code === 'token-refused'
      if (isUsed && organization !== undefined) return client.renew(by, organization)
      isAnswerLost ||= !isRefused
      throw error
    }
  }
}

async function refusalsExplained(issued: Promise<Issued>): Promise<Issued> {
  try {
    return await issued
  } catch (error) {
    if (!(error instanceof RegistryRefusal)) throw error
    throw new OperatorError('ERR_ENROLMENT', `enrolment refused: ${error.message}`, {
      cause: error,
    })
  }
}

/** What was issued must make us a member of the organization that was asked for. */
function verified(issued: Issued, by: Applicant, options: EnrolmentOptions): Enrolled {
  const organization = parseOrganizationId(issued.organization ?? '')
  if (options.organization !== undefined && options.organization !== organization) {
    throw new OperatorError(
      'ERR_ORGANIZATION',
      `the registry answered for organization ${organization}, not ${options.organization} (is the registry's URL right?)`,
    )
  }
  const now = options.clock.now()
  const envelopes = issued.envelopes.map(openEnvelope)
  let state = emptyState(organization)
  let refusal = ''
  for (const envelope of envelopes) {
    const verdict = apply(state, envelope, now)
    if (!verdict.ok) refusal = `${envelope.kind} ${verdict.refusal}`
    state = verdict.state
  }
  const member = memberOf(state, deviceIdOf(by.deviceKey.publicKey), now)
  if (member === undefined) {
    throw new OperatorError(
      'ERR_ENROLMENT',
      `what the registry issued is not valid here (${refusal}): is this device's clock right? it says ${new Date(now * 1000).toISOString()}`,
    )
  }
  const name = member.certificate.name
  return {
    join: {
      ...{ registry: options.registry, organization, name, rendezvous: issued.rendezvous },
      registries: knownRegistries(options.registry, issued.registries),
    },
    envelopes,
  }
}
