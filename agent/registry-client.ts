/** The registry's HTTP API as an agent uses it: enrolment and renewal, nothing else. */
import { z } from 'zod'
import type { AgreementKeyPair } from '../crypto/agreement.ts'
import { fromBase64, toBase64 } from '../crypto/bytes.ts'
import type { RandomBytes } from '../crypto/random.ts'
import type { Prefix } from '../protocol/address.ts'
import { sealEnvelope } from '../protocol/envelope.ts'
import type { DeviceKeyPair, OrganizationId } from '../protocol/keys.ts'
import type { Role } from '../protocol/membership-certificate.ts'
import { encodeProof, type ProofPurpose, UNKNOWN_ORGANIZATION } from '../protocol/proof.ts'
import type { Seconds } from '../protocol/time.ts'
import { explain, OperatorError } from './errors.ts'

/** Milliseconds a request may take. */
const TIMEOUT_MS = 10_000

const RENDEZVOUS = z.object({ multiaddrs: z.array(z.string()), stun: z.array(z.string()) })
const INFO = z.object({ publicUrl: z.url(), rendezvous: RENDEZVOUS })
const AUTHORIZATION = z.object({
  device_code: z.string(),
  user_code: z.string(),
  verification_uri: z.string(),
  verification_uri_complete: z.string(),
  expires_in: z.number(),
  interval: z.number(),
})
const TOKEN = z.object({ access_token: z.string() })
const ISSUED = z.object({
  organization: z.string().optional(),
  envelopes: z.array(z.string().transform((text) => fromBase64(text))),
  rendezvous: RENDEZVOUS,
  /** Public URLs of the registries that run; none of a registry that is alone and older. */
  registries: z.array(z.string()).max(64).default([]),
})
const PROBLEM = z.object({
  code: z.string().optional(),
  error: z.string().optional(),
  detail: z.string().optional(),
  title: z.string().optional(),
  expires_in: z.number().optional(),
})

export type RegistryInfo = z.output<typeof INFO>
export type DeviceAuthorization = z.output<typeof AUTHORIZATION>
export type Issued = z.output<typeof ISSUED>

/** The registry said no. */
export class RegistryRefusal extends Error {
  override readonly name = 'RegistryRefusal'
  /** RFC 8628's `error`, or the problem's `code`. */
  readonly code: string
  readonly status: number
  /** Seconds for which it may be asked again: somebody there has yet to decide. */
  readonly expiresIn: number | undefined

  constructor(status: number, code: string, detail: string, expiresIn?: number) {
    super(`registry refused: ${detail}`)
    this.status = status
    this.code = code
    this.expiresIn = expiresIn
  }
}

/** Who asks: the keys whose possession each request proves. */
export interface Applicant {
  readonly deviceKey: DeviceKeyPair
  readonly wireguardKey: AgreementKeyPair
  readonly name: string
  readonly system: string
  /** What it wants to advertise and to be, and an admin is to grant. */
  readonly asks?: Asks | undefined
  /** An address of the organization's that it wants to have, when it enrols first. */
  readonly requestedAddress?: string | undefined
}

export interface Asks {
  readonly prefixes: readonly Prefix[]
  readonly roles: readonly Role[]
}

/** Every call throws OperatorError (ERR_REGISTRY) when the registry can't be reached or doesn't speak
 *  our API, and RegistryRefusal when it refuses. */
export class RegistryClient {
  readonly #base: string
  readonly #now: () => Seconds
  readonly #random: RandomBytes
  #audience: string | undefined

  constructor(url: string, now: () => Seconds, random: RandomBytes) {
    this.#base = url.endsWith('/') ? url : `${url}/`
    this.#now = now
    this.#random = random
  }

  async info(): Promise<RegistryInfo> {
    const info = await this.#ask(INFO, 'v1/info')
    this.#audience = info.publicUrl
    return info
  }

  async authorize(by: Applicant): Promise<DeviceAuthorization> {
    return this.#ask(AUTHORIZATION, 'v1/device-authorizations', await this.#described(by))
  }

  /** The one-time enrolment token. Throws RegistryRefusal with `authorization_pending` and the like. */
  async token(deviceCode: string): Promise<string> {
    const grant = {
      grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
      device_code: deviceCode,
    }
    return (await this.#ask(TOKEN, 'v1/token', grant)).access_token
  }

  async enrol(
    by: Applicant,
    credential: { readonly token: string } | { readonly registrationKey: string },
  ): Promise<Issued> {
    const { asks, requestedAddress } = by
    return this.#ask(ISSUED, 'v1/enrolments', {
      ...{ ...(await this.#described(by)), ...credential },
      ...(asks !== undefined && { asks }),
      ...(requestedAddress !== undefined && { requestedAddress }),
    })
  }

  async renew(by: Applicant, organization: OrganizationId): Promise<Issued> {
    return this.#ask(ISSUED, 'v1/renewals', {
      request: await this.#prove(by, 'renewal', organization),
      ...(by.asks !== undefined && { asks: by.asks }),
    })
  }

  async #described(by: Applicant): Promise<Record<string, string>> {
    return {
      deviceKey: toBase64(by.deviceKey.publicKey),
      wireguardKey: toBase64(by.wireguardKey.publicKey),
      name: by.name,
      system: by.system,
      proof: await this.#prove(by, 'enrolment', UNKNOWN_ORGANIZATION),
    }
  }

  async #prove(
    by: Applicant,
    purpose: ProofPurpose,
    organization: OrganizationId,
  ): Promise<string> {
    const audience = this.#audience ?? (await this.info()).publicUrl
    const claims = encodeProof({
      purpose,
      audience,
      subject: '',
      nonce: this.#random(16),
      issuedAt: this.#now(),
      wireguardKey: by.wireguardKey.publicKey,
    })
    return toBase64(sealEnvelope('proof', organization, claims, by.deviceKey))
  }

  async #ask<T>(shape: z.ZodType<T>, path: string, body?: object): Promise<T> {
    return parse(shape, await request(this.#base, path, body), this.#base)
  }
}

async function request(base: string, path: string, body?: object): Promise<unknown> {
  let response: Response
  try {
    response = await fetch(new URL(path, base), {
      method: body === undefined ? 'GET' : 'POST',
      signal: AbortSignal.timeout(TIMEOUT_MS),
      redirect: 'error',
      headers: { accept: 'application/json', 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
  } catch (cause) {
    const reason = explain(cause)
    throw new OperatorError(
      'ERR_REGISTRY',
      `cannot reach the registry at ${base}: ${reason} (check --registry and the network)`,
      { cause },
    )
  }
  const content: unknown = await response.json().catch(() => undefined)
  if (response.ok) return content
  const problem = PROBLEM.safeParse(content)
  if (!problem.success) throw notARegistry(base, `HTTP status ${response.status}`)
  const { code, error, detail, title, expires_in: expiresIn } = problem.data
  throw new RegistryRefusal(
    response.status,
    error ?? code ?? 'unknown',
    detail ?? title ?? error ?? `status ${response.status}`,
    expiresIn,
  )
}

function parse<T>(shape: z.ZodType<T>, content: unknown, base: string): T {
  const parsed = shape.safeParse(content)
  if (parsed.success) return parsed.data
  throw notARegistry(base, parsed.error.issues[0]?.message ?? 'unexpected content')
}

function notARegistry(base: string, why: string): OperatorError {
  return new OperatorError(
    'ERR_REGISTRY',
    `${base} does not answer like a Nexodus registry: ${why} (check --registry)`,
  )
}
