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

/** Requests that are looked at closely: of one device, which sends four at a start, and of all; each costs half a
 *  millisecond. */
const OF_DEVICE = { burst: 8, perSecond: 1 } as const
const OF_ALL = { burst: 200, perSecond: 100 } as const
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
  readonly #devices = new Pace(OF_DEVICE)
  readonly #all = new Pace(OF_ALL)
  readonly #newest = new Map<DeviceId, number>()

  constructor(options: AttachingOptions<M>) {
    this.#options = options
  }

  /** Undefined: no answer. The answer is shorter than the request, and goes to where that came from. */
  received(bytes: Uint8Array, nowMs: number): Attached<M> | undefined {
    const { key, address, memberOf, random } = this.#options
    const request = parseAttachRequest(bytes)
    if (request === undefined || request.to !== address) return undefined
    const { organization, device, sentAtMs } = request
    const member = memberOf(organization, device)
    // As WireGuard does it: of what was recorded nothing is answered again, and no two clocks need agree.
    if (member === undefined || sentAtMs <= (this.#newest.get(device) ?? -1)) return undefined
    if (!this.#devices.spend(device, 1, nowMs) || !this.#all.spend('all', 1, nowMs))
      return undefined
    if (!isAuthenticRequest(bytes, request)) return undefined
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
