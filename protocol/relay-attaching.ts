/** Relay attaching, the relay's side (SPEC §12.7): which requests get an answer. Strangers get none, and cost a look at
 *  what is known; nobody makes a relay verify more than it can afford. */
import { agreementKeyPairFromPrivate } from '../crypto/agreement.ts'
import type { DeviceId, OrganizationId } from './keys.ts'
import { Pace } from './pace.ts'
import type { RelayAddress } from './relay.ts'
import {
  isAuthenticRequest,
  parseAttachRequest,
  type RelayKeyPair,
  sealAttachAnswer,
} from './relay-attach.ts'
import { SESSION_BYTES } from './relay-control.ts'
import type { SessionKey } from './relay-udp.ts'

/** Requests that are verified: in the name of one organization, and of all; each costs a tenth of a millisecond. Whoever
 *  forges more of them keeps devices to their streams. */
const VERIFIED = {
  organization: { burst: 200, perSecond: 100 },
  all: { burst: 500, perSecond: 500 },
} as const
/** Requests that are answered, of one device, which sends four at a start; each costs half a millisecond. */
const ANSWERED = { burst: 8, perSecond: 1 } as const
/** Milliseconds that a device's clock may be ahead: one that was further is not refused for long when it is right again. */
const AHEAD_MS = 300_000
/** Devices whose newest request is remembered; of one forgotten an old request may be answered once more. */
const REMEMBERED = 4096

export interface AttachingOptions<M> {
  readonly key: RelayKeyPair
  /** Of this relay, as requests name it. */
  readonly address: RelayAddress
  /** Undefined: no member, now. */
  memberOf(organization: OrganizationId, device: DeviceId): M | undefined
  random(length: number): Uint8Array
}

export interface Attached<M> {
  readonly member: M
  readonly keys: SessionKey
  readonly answer: Uint8Array
  /** Is it still one? Asked while the session lasts. */
  isMember(): boolean
}

export class RelayAttaching<M> {
  readonly #options: AttachingOptions<M>
  readonly #organizations = new Pace(VERIFIED.organization)
  readonly #all = new Pace(VERIFIED.all)
  readonly #devices = new Pace(ANSWERED)
  readonly #newest = new Map<DeviceId, number>()

  constructor(options: AttachingOptions<M>) {
    this.#options = options
  }

  /** Undefined: no answer. The answer is shorter than the request, and goes to where that came from.
   *  @param wallMs since the epoch; @param nowMs monotonic */
  received(bytes: Uint8Array, wallMs: number, nowMs: number): Attached<M> | undefined {
    const { key, address, memberOf, random } = this.#options
    const request = parseAttachRequest(bytes)
    if (request === undefined || request.to !== address) return undefined
    const { organization, device, sentAtMs } = request
    const member = memberOf(organization, device)
    // As WireGuard does it: of what was recorded nothing is answered again.
    const isNewer = sentAtMs > (this.#newest.get(device) ?? -1) && sentAtMs <= wallMs + AHEAD_MS
    if (member === undefined || !isNewer) return undefined
    const mayVerify =
      this.#organizations.spend(organization, 1, nowMs) && this.#all.spend('all', 1, nowMs)
    if (!mayVerify || !isAuthenticRequest(bytes, request)) return undefined
    if (!this.#devices.spend(device, 1, nowMs)) return undefined
    this.#remember(device, sentAtMs)
    const ephemeral = agreementKeyPairFromPrivate(random(32))
    const session = random(SESSION_BYTES)
    const isMember = (): boolean => memberOf(organization, device) !== undefined
    return { member, isMember, ...sealAttachAnswer(request, bytes, { key, session, ephemeral }) }
  }

  #remember(device: DeviceId, sentAtMs: number): void {
    this.#newest.delete(device)
    const oldest = this.#newest.keys().next()
    if (this.#newest.size >= REMEMBERED && oldest.done !== true) this.#newest.delete(oldest.value)
    this.#newest.set(device, sentAtMs)
  }
}
