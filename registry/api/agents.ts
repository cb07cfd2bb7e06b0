/** The API of agents: what a registry is, asking to be let in, enrolling, renewing. */
import express, { type Request, type Response, Router } from 'express'
import { z } from 'zod'
import { toBase64, toHex } from '../../crypto/bytes.ts'
import { addressBytes, parseIpAddress } from '../../protocol/address.ts'
import type { Clock } from '../../protocol/clock.ts'
import { TEXT_CHARACTERS } from '../../protocol/limits.ts'
import type { Log } from '../../protocol/log.ts'
import type { Rendezvous } from '../../protocol/manifest.ts'
import type { DeviceAuthorizations, PollAnswer } from '../device-authorization.ts'
import { checkName, enrol, type Membership } from '../enrolment.ts'
import type { Issuing } from '../issuing.ts'
import { checkClaimedKeys, provePossession } from '../possession.ts'
import { parseInput } from '../problem.ts'
import { rateLimit } from '../rate-limit.ts'
import type { RegistrationKeys } from '../registration-keys.ts'
import { renew } from '../renewal.ts'

export interface AgentApiParts {
  readonly version: string
  readonly publicUrl: string
  readonly issuing: Issuing
  readonly authorizations: DeviceAuthorizations
  readonly registrationKeys: RegistrationKeys
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
const AUTHORIZATION = z.strictObject(DESCRIBED)
const ENROLMENT = z
  .strictObject({
    ...DESCRIBED,
    token: z.string().max(64).optional(),
    registrationKey: z.string().max(64).optional(),
    requestedAddress: z.string().max(64).optional(),
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
const RENEWAL = z.strictObject({ request: ENVELOPE })
const TOKEN_REQUEST = z.object({
  grant_type: z.literal(GRANT),
  device_code: z.string().min(1).max(64),
})

/** Per client address, which may be the NAT of a whole site. */
const ASKING = { windowSeconds: 60, limit: 600 }
const ENROLLING = { windowSeconds: 60, limit: 6000 }
/** Guessing keys and tokens is out of reach anyway; this keeps the attempts from costing us. */
const FAILING = { windowSeconds: 60, limit: 120, failuresOnly: true }

export function agentApi(parts: AgentApiParts): Router {
  const { publicUrl, authorizations, version } = parts
  const router = Router()
  const asking = [rateLimit(ASKING)]
  const enrolling = [rateLimit(ENROLLING), rateLimit(FAILING)]
  const form = express.urlencoded({ extended: false, limit: '4kb', parameterLimit: 8 })

  router.get('/info', (_request, response) => {
    const rendezvous = parts.rendezvous()
    response.json({ product: 'nexodus', version, publicUrl, rendezvous, deviceAuthorization: true })
  })
  router.post('/device-authorizations', asking, async (request: Request, response: Response) => {
    response.status(200).json(await startAuthorization(parts, request))
  })
  router.post('/token', asking, form, async (request: Request, response: Response) => {
    const wanted = TOKEN_REQUEST.safeParse(request.body ?? {})
    if (!wanted.success)
      return oauthError(response, 'invalid_request', 'want the device code grant')
    answerPoll(response, await authorizations.poll(wanted.data.device_code))
  })
  router.post('/enrolments', enrolling, async (request: Request, response: Response) => {
    const { requestedAddress, ...wanted } = parseInput(ENROLMENT, request.body)
    response.json(issued(parts, await enrol(parts, { ...wanted, requestedAddress })))
  })
  router.post('/renewals', enrolling, async (request: Request, response: Response) => {
    response.json(issued(parts, await renew(parts, parseInput(RENEWAL, request.body).request)))
  })
  return router
}

function issued(
  parts: AgentApiParts,
  { organization, envelopes }: Membership,
): Record<string, unknown> {
  return { organization, envelopes: envelopes.map(toBase64), rendezvous: parts.rendezvous() }
}

/** RFC 8628 §3.2. */
async function startAuthorization(
  { publicUrl, authorizations, clock }: AgentApiParts,
  request: Request,
): Promise<Record<string, unknown>> {
  const wanted = parseInput(AUTHORIZATION, request.body)
  const asked = { purpose: 'enrolment', audience: publicUrl, field: 'proof' } as const
  const possession = provePossession(wanted.proof, asked, clock.now())
  checkClaimedKeys(possession, wanted)
  const requestedFrom = request.ip ?? 'unknown'
  const started = await authorizations.start({
    possession,
    name: checkName(wanted.name),
    system: wanted.system,
    requestedFrom,
    source: sourceOf(requestedFrom),
  })
  return {
    device_code: started.deviceCode,
    user_code: started.userCode,
    verification_uri: `${publicUrl}/device`,
    verification_uri_complete: `${publicUrl}/device?code=${started.userCode}`,
    expires_in: started.expiresIn,
    interval: started.interval,
  }
}

/** One asker: an IPv4 address, or the /64 that a host may choose its IPv6 addresses from. */
function sourceOf(address: string): string {
  if (address === 'unknown') return address
  const bytes = addressBytes(parseIpAddress(address.replace(/%.*$/, '')))
  return toHex(bytes.subarray(0, bytes.length === 4 ? 4 : 8))
}

/** RFC 8628 §3.5. */
const OAUTH_ERRORS = {
  pending: ['authorization_pending', 'nobody has decided yet'],
  'too-soon': ['slow_down', 'ask less often'],
  expired: ['expired_token', 'nobody decided in time: start again'],
  requested: ['authorization_pending', 'an admin of the organization has to agree'],
  denied: ['access_denied', 'the device was denied'],
  unknown: ['invalid_grant', 'the device code is unknown or was used'],
} as const satisfies Record<Exclude<PollAnswer['kind'], 'token'>, readonly [string, string]>

function answerPoll(response: Response, answer: PollAnswer): void {
  if (answer.kind === 'token') {
    const { token, expiresIn } = answer
    response.json({ access_token: token, token_type: 'Bearer', expires_in: expiresIn })
  } else {
    const [error, detail] = OAUTH_ERRORS[answer.kind]
    // So long the device may go on asking: an admin is not at hand as the one who enrols it is.
    const extension = answer.kind === 'requested' ? { expires_in: answer.expiresIn } : {}
    oauthError(response, error, detail, extension)
  }
}

/** RFC 6749 §5.2, in the words OAuth clients know. */
function oauthError(
  response: Response,
  error: string,
  detail: string,
  extension: Readonly<Record<string, number>> = {},
): void {
  response.status(400).json({ error, error_description: detail, ...extension })
}
