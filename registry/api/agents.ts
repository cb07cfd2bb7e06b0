/** The API of agents: what a registry is, asking to be let in, enrolling, renewing. */
import { z } from 'zod'
import { toBase64 } from '../../crypto/bytes.ts'
import type { Clock } from '../../protocol/clock.ts'
import { PREFIXES, TEXT_CHARACTERS } from '../../protocol/limits.ts'
import type { Log } from '../../protocol/log.ts'
import type { Rendezvous } from '../../protocol/manifest.ts'
import { ROLES } from '../../protocol/membership-certificate.ts'
import type { DeviceAuthorizations, PollAnswer } from '../device-authorization.ts'
import { checkName, enrol, type Membership } from '../enrolment.ts'
import type { Issuing } from '../issuing.ts'
import type { Logins } from '../login-authorization.ts'
import { checkClaimedKeys, provePossession } from '../possession.ts'
import type { RegistrationKeys } from '../registration-keys.ts'
import { renew } from '../renewal.ts'
import { PREFIX_TEXT } from './fields.ts'
import { STARTED, startedAt } from './logins.ts'
import { type OauthCode, OauthError } from './oauth-error.ts'
import { openRoute, type Route } from './route.ts'
import { sourceOf } from './source.ts'

export interface AgentApiParts {
  readonly version: string
  readonly publicUrl: string
  readonly issuing: Issuing
  readonly authorizations: DeviceAuthorizations
  readonly registrationKeys: RegistrationKeys
  readonly logins: Pick<Logins, 'poll'>
  /** Where devices meet now. */
  rendezvous(): Rendezvous
  readonly clock: Pick<Clock, 'now'>
  readonly log: Log
}

const GRANT = 'urn:ietf:params:oauth:grant-type:device_code'

/** Characters of base64 of a 32-byte key, and of an envelope of ENVELOPE_BYTES. */
const KEY = z.string().length(44)
const ENVELOPE = z.string().min(1).max(2732)
const TEXT = z
  .string()
  .max(TEXT_CHARACTERS)
  .regex(/^\P{Cc}*$/u, 'holds control characters')

const DESCRIBED = {
  deviceKey: KEY,
  wireguardKey: KEY,
  name: z.string().max(TEXT_CHARACTERS),
  system: TEXT,
  proof: ENVELOPE,
}
/** What a device wants to advertise and to be; an admin decides. */
const ASKS = z.strictObject({
  prefixes: z.array(PREFIX_TEXT).max(PREFIXES),
  roles: z.array(z.enum(ROLES)).max(ROLES.length),
})
const AUTHORIZATION = z.strictObject(DESCRIBED)
const ENROLMENT = z
  .strictObject({
    ...DESCRIBED,
    token: z.string().max(64).optional(),
    registrationKey: z.string().max(64).optional(),
    requestedAddress: z.string().max(64).optional(),
    asks: ASKS.optional(),
  })
  .transform(({ token, registrationKey, ...rest }, context) => {
    if (token !== undefined && registrationKey === undefined) {
      return { ...rest, credential: { token } }
    }
    if (registrationKey !== undefined && token === undefined) {
      return { ...rest, credential: { registrationKey } }
    }
    context.addIssue({ code: 'custom', message: 'want either token or registrationKey' })
    return z.NEVER
  })
const RENEWAL = z.strictObject({ request: ENVELOPE, asks: ASKS.optional() })
const TOKEN_REQUEST = z.object({
  grant_type: z.literal(GRANT),
  device_code: z.string().min(1).max(64),
})

const RENDEZVOUS = z.object({
  multiaddrs: z.array(z.string()).readonly(),
  stun: z.array(z.string()).readonly(),
})
const INFO = z.object({
  product: z.literal('nexodus'),
  version: z.string(),
  publicUrl: z.string(),
  rendezvous: RENDEZVOUS,
  deviceAuthorization: z.boolean(),
})
/** RFC 6749 §5.1. */
const GRANTED = z.object({
  access_token: z.string(),
  token_type: z.literal('Bearer'),
  expires_in: z.int(),
})

/** What `enrol` and `renew` give; the bytes are envelopes. */
const ISSUED = z.object({
  organization: z.string(),
  envelopes: z.array(z.string()).readonly(),
  rendezvous: RENDEZVOUS,
})

export const AGENT_ROUTES: readonly Route<AgentApiParts>[] = [
  openRoute({
    method: 'GET',
    path: '/info',
    operation: 'getInfo',
    summary: 'What this registry is, and where devices meet now',
    answer: INFO,
    handle: async ({ version, publicUrl, rendezvous }: AgentApiParts) => ({
      ...{ product: 'nexodus' as const, version, publicUrl },
      ...{ rendezvous: rendezvous(), deviceAuthorization: true },
    }),
  }),
  openRoute({
    method: 'POST',
    path: '/device-authorizations',
    operation: 'authorizeDevice',
    summary: 'A device asks to be let in (RFC 8628 §3.1)',
    rate: 'asking',
    body: AUTHORIZATION,
    answer: STARTED,
    status: 200,
    handle: (parts: AgentApiParts, { body, act }) =>
      startAuthorization(parts, body, act.from ?? 'unknown'),
  }),
  openRoute({
    method: 'POST',
    path: '/token',
    operation: 'pollToken',
    summary: 'Has somebody decided? (RFC 8628 §3.4)',
    rate: 'asking',
    oauth: true,
    body: TOKEN_REQUEST,
    answer: GRANTED,
    handle: async ({ authorizations, logins }: AgentApiParts, { body, act }) => {
      const answer = await authorizations.poll(body.device_code)
      // Devices and programs ask alike; only one of both knows the code.
      return grantedBy(
        answer.kind === 'unknown' ? await logins.poll(body.device_code, act) : answer,
      )
    },
  }),
  openRoute({
    method: 'POST',
    path: '/enrolments',
    operation: 'enrolDevice',
    summary: 'A device that was approved, or has a registration key, becomes a member',
    rate: 'enrolling',
    body: ENROLMENT,
    answer: ISSUED,
    handle: async (parts: AgentApiParts, { body: { requestedAddress, ...wanted }, act }) =>
      issued(parts, await enrol(parts, { ...wanted, requestedAddress }, act)),
  }),
  openRoute({
    method: 'POST',
    path: '/renewals',
    operation: 'renewMembership',
    summary: 'A member gets its next certificate, by proof of its device key',
    rate: 'enrolling',
    body: RENEWAL,
    answer: ISSUED,
    handle: async (parts: AgentApiParts, { body }) =>
      issued(parts, await renew(parts, body.request, body.asks)),
  }),
]

function issued(parts: AgentApiParts, { organization, envelopes }: Membership) {
  return { organization, envelopes: envelopes.map(toBase64), rendezvous: parts.rendezvous() }
}

/** RFC 8628 §3.2. */
async function startAuthorization(
  { publicUrl, authorizations, clock }: AgentApiParts,
  wanted: z.output<typeof AUTHORIZATION>,
  requestedFrom: string,
) {
  const asked = { purpose: 'enrolment', audience: publicUrl, field: 'proof' } as const
  const possession = provePossession(wanted.proof, asked, clock.now())
  checkClaimedKeys(possession, wanted)
  const started = await authorizations.start({
    possession,
    name: checkName(wanted.name),
    system: wanted.system,
    requestedFrom,
    source: sourceOf(requestedFrom),
  })
  return startedAt(publicUrl, started)
}

/** RFC 8628 §3.5. */
const OAUTH_ERRORS = {
  pending: ['authorization_pending', 'nobody has decided yet'],
  'too-soon': ['slow_down', 'ask less often'],
  expired: ['expired_token', 'nobody decided in time: start again'],
  requested: ['authorization_pending', 'an admin of the organization has to agree'],
  denied: ['access_denied', 'the device was denied'],
  unknown: ['invalid_grant', 'the device code is unknown or was used'],
} as const satisfies Record<Exclude<PollAnswer['kind'], 'token'>, readonly [OauthCode, string]>

function grantedBy(answer: PollAnswer) {
  if (answer.kind !== 'token') {
    const [error, detail] = OAUTH_ERRORS[answer.kind]
    // So long the device may go on asking: an admin is not at hand as the one who enrols it is.
    const expiresIn = answer.kind === 'requested' ? answer.expiresIn : undefined
    throw new OauthError(error, detail, expiresIn)
  }
  const { token, expiresIn } = answer
  return { access_token: token, token_type: 'Bearer' as const, expires_in: expiresIn }
}
