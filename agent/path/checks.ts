/** Connectivity checks as messages: STUN binding requests and answers between members, authenticated by
 *  the key that their two WireGuard keys share (SPEC §10), and the requests that await an answer. */
import type { AgreementKeyPair, AgreementPublicKey } from '../../crypto/agreement.ts'
import { equal, toHex } from '../../crypto/bytes.ts'
import { type Endpoint, sameEndpoint } from '../../protocol/address.ts'
import { MalformedError } from '../../protocol/errors.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import { type RelayAddress, relayAddressOf } from '../../protocol/relay.ts'
import {
  encodeStun,
  parseStun,
  type ReceivedStun,
  type StunMessage,
  TRANSACTION_ID_BYTES,
  verifyIntegrity,
} from '../../protocol/stun.ts'
import { checkKey, checkUsername, parseCheckUsername } from '../../protocol/stun-credentials.ts'
import { type Bucket, newBucket } from './bucket.ts'

/** An answer after this long is none: longer than any round trip in use. Milliseconds. */
const TRANSACTION_MS = 5000
/** Signatures looked at per second: 1 % of a core, and far more than peers send. */
const VERIFICATIONS_PER_SECOND = 2000

/** Bytes of an attribute's type and length. */
const ATTRIBUTE_BYTES = 4

/** Where a message came from or goes to: an endpoint of the network, or a relay, by its id where known. */
export type CheckPath = Endpoint | 'relay' | `relay ${string}`

export type DropReason =
  | 'malformed'
  | 'not-asked'
  | 'unknown-user'
  | 'not-authentic'
  | 'too-many'
  | 'refused'

export type Received =
  /** A member checks the path: `answer` goes back by it. */
  | { readonly kind: 'request'; readonly device: DeviceId; readonly answer: Uint8Array }
  /** A member answered; `mapped` is as what it saw us, unless by the relay. */
  | {
      readonly kind: 'answer'
      readonly device: DeviceId
      readonly path: CheckPath
      readonly roundTripMs: number
      readonly mapped: Endpoint | undefined
      /** Bytes that its WireGuard has received of ours; undefined where it does not say. */
      readonly receivedBytes: number | undefined
      /** Of a probe: bytes of the check that passed, 0 of one that was not padded. */
      readonly probed?: number
    }
  /** A STUN server answered, or a member that was asked as one. */
  | {
      readonly kind: 'mapped'
      readonly server: Endpoint
      readonly device: DeviceId | undefined
      readonly mapped: Endpoint
      readonly roundTripMs: number
    }
  /** A request of ours to our own mapped endpoint came back. */
  | { readonly kind: 'hairpinned'; readonly mapped: Endpoint }
  | { readonly kind: 'dropped'; readonly reason: DropReason }

export interface Checks {
  /** The members whose checks are answered. One whose WireGuard key is unusable is left out. */
  setPeers(peers: ReadonlyMap<DeviceId, AgreementPublicKey>): void
  /** A request to a member, to be sent by `path`; undefined if there is no such member.
   *  @param probed for a probe of the path's MTU: bytes of the datagram, a multiple of 4; 0: not padded */
  request(device: DeviceId, path: CheckPath, nowMs: number, probed?: number): Uint8Array | undefined
  /** A request without credentials, to a STUN server. */
  ask(server: Endpoint, nowMs: number): Uint8Array
  /** A request to a member that is to be no more than a STUN server; undefined if there is no such member. */
  askMember(device: DeviceId, server: Endpoint, nowMs: number): Uint8Array | undefined
  /** A request to our own mapped endpoint, to be sent from another port. */
  hairpin(mapped: Endpoint, nowMs: number): Uint8Array
  /** Total: whatever is no message for us is dropped, with the reason. */
  receive(datagram: Uint8Array, from: CheckPath, nowMs: number): Received
}

interface Member {
  readonly device: DeviceId
  readonly address: RelayAddress
  readonly wireguardKey: AgreementPublicKey
  readonly key: Uint8Array
}

interface Transaction {
  readonly purpose: 'check' | 'ask' | 'hairpin'
  /** Undefined: a STUN server. */
  readonly member: Member | undefined
  readonly path: CheckPath
  readonly sentMs: number
  readonly probed?: number | undefined
}

export function newChecks(options: {
  readonly device: DeviceId
  readonly wireguardKey: AgreementKeyPair
  random(length: number): Uint8Array
  /** Bytes that WireGuard has received of a device; undefined where that is not known. */
  receivedFrom?(device: DeviceId): number | undefined
}): Checks {
  return new MemberChecks(options)
}

class MemberChecks implements Checks {
  readonly #device: DeviceId
  readonly #own: RelayAddress
  readonly #keys: AgreementKeyPair
  readonly #random: (length: number) => Uint8Array
  readonly #receivedFrom: (device: DeviceId) => number | undefined
  readonly #verifications: Bucket = newBucket(VERIFICATIONS_PER_SECOND, VERIFICATIONS_PER_SECOND)
  /** In the order in which they were sent. */
  readonly #transactions = new Map<string, Transaction>()
  #members: ReadonlyMap<DeviceId, Member> = new Map()
  #byAddress: ReadonlyMap<RelayAddress, Member> = new Map()

  constructor(options: Parameters<typeof newChecks>[0]) {
    this.#device = options.device
    this.#own = relayAddressOf(options.device)
    this.#keys = options.wireguardKey
    this.#random = options.random
    this.#receivedFrom = options.receivedFrom ?? (() => undefined)
  }

  setPeers(peers: ReadonlyMap<DeviceId, AgreementPublicKey>): void {
    const members = [...peers].flatMap(([device, wireguardKey]) => {
      const known = this.#members.get(device)
      if (known !== undefined && equal(known.wireguardKey, wireguardKey)) return [known]
      return this.#memberOf(device, wireguardKey)
    })
    this.#members = new Map(members.map((member) => [member.device, member]))
    this.#byAddress = new Map(members.map((member) => [member.address, member]))
  }

  #memberOf(device: DeviceId, wireguardKey: AgreementPublicKey): Member[] {
    try {
      const key = checkKey(this.#keys, wireguardKey)
      return [{ device, address: relayAddressOf(device), wireguardKey, key }]
    } catch (error) {
      // A key of small order: WireGuard will not speak to it either.
      if (error instanceof Error && 'code' in error && error.code === 'ERR_KEY') return []
      throw error
    }
  }

  request(
    device: DeviceId,
    path: CheckPath,
    nowMs: number,
    probed?: number,
  ): Uint8Array | undefined {
    return this.#request('check', device, path, nowMs, probed)
  }

  askMember(device: DeviceId, server: Endpoint, nowMs: number): Uint8Array | undefined {
    return this.#request('ask', device, server, nowMs)
  }

  #request(
    purpose: Transaction['purpose'],
    device: DeviceId,
    path: CheckPath,
    nowMs: number,
    probed?: number,
  ): Uint8Array | undefined {
    const member = this.#members.get(device)
    if (member === undefined) return undefined
    const username = checkUsername(device, this.#device)
    const transactionId = this.#begin({ purpose, member, path, sentMs: nowMs, probed })
    const check: StunMessage = { kind: 'request', transactionId, username }
    const plain = encodeStun(check, member.key)
    if (probed === undefined || probed === 0) return plain
    return encodeStun({ ...check, padding: probed - plain.length - ATTRIBUTE_BYTES }, member.key)
  }

  ask(server: Endpoint, nowMs: number): Uint8Array {
    return this.#plain('ask', server, nowMs)
  }

  hairpin(mapped: Endpoint, nowMs: number): Uint8Array {
    return this.#plain('hairpin', mapped, nowMs)
  }

  #plain(purpose: Transaction['purpose'], path: Endpoint, nowMs: number): Uint8Array {
    const transactionId = this.#begin({ purpose, member: undefined, path, sentMs: nowMs })
    return encodeStun({ kind: 'request', transactionId })
  }

  #begin(transaction: Transaction): Uint8Array {
    for (const [id, { sentMs }] of this.#transactions) {
      if (transaction.sentMs - sentMs < TRANSACTION_MS) break
      this.#transactions.delete(id)
    }
    const transactionId = this.#random(TRANSACTION_ID_BYTES)
    this.#transactions.set(toHex(transactionId), transaction)
    return transactionId
  }

  receive(datagram: Uint8Array, from: CheckPath, nowMs: number): Received {
    try {
      const message = parseStun(datagram)
      if (message.kind === 'request') return this.#requested(datagram, message, from, nowMs)
      if (message.kind === 'success') return this.#answered(datagram, message, from, nowMs)
      return { kind: 'dropped', reason: 'refused' }
    } catch (error) {
      if (error instanceof MalformedError) return { kind: 'dropped', reason: 'malformed' }
      throw error
    }
  }

  #requested(
    datagram: Uint8Array,
    message: ReceivedStun,
    from: CheckPath,
    nowMs: number,
  ): Received {
    const { username = '', transactionId } = message
    const returned = this.#returned(message)
    if (returned !== undefined) return returned
    const { receiver, sender } = parseCheckUsername(username)
    const member = receiver === this.#own ? this.#byAddress.get(sender) : undefined
    if (member === undefined) return { kind: 'dropped', reason: 'unknown-user' }
    const fault = this.#faultIn(datagram, member, message, nowMs)
    if (fault !== undefined) return { kind: 'dropped', reason: fault }
    const seen = typeof from === 'string' ? {} : { mappedAddress: from, ...this.#received(member) }
    const answer = encodeStun({ kind: 'success', transactionId, ...seen }, member.key)
    return { kind: 'request', device: member.device, answer }
  }

  #received({ device }: Member): Pick<StunMessage, 'receivedBytes'> {
    const receivedBytes = this.#receivedFrom(device)
    return receivedBytes === undefined ? {} : { receivedBytes }
  }

  /** Nobody else knows the id: it is random, and went to our own endpoint alone. */
  #returned({ username, hasIntegrity, transactionId }: ReceivedStun): Received | undefined {
    const id = toHex(transactionId)
    const transaction = this.#transactions.get(id)
    if (transaction?.purpose !== 'hairpin' || typeof transaction.path === 'string') {
      return undefined
    }
    if (username !== undefined || hasIntegrity) return undefined
    this.#transactions.delete(id)
    return { kind: 'hairpinned', mapped: transaction.path }
  }

  /** Of an answer that comes from elsewhere than the request went the path is not proved
   *  (RFC 8445 §7.2.5.2.1). */
  #answered(datagram: Uint8Array, message: ReceivedStun, from: CheckPath, nowMs: number): Received {
    const { mappedAddress: mapped, receivedBytes } = message
    const id = toHex(message.transactionId)
    const transaction = this.#transactions.get(id)
    if (transaction === undefined || !isSamePath(transaction.path, from)) {
      return { kind: 'dropped', reason: 'not-asked' }
    }
    const { purpose, member, path, sentMs, probed } = transaction
    const roundTripMs = nowMs - sentMs
    if (member === undefined) {
      this.#transactions.delete(id)
      if (mapped === undefined || typeof path === 'string' || purpose !== 'ask') {
        return { kind: 'dropped', reason: 'malformed' }
      }
      return { kind: 'mapped', server: path, device: undefined, mapped, roundTripMs }
    }
    const fault = this.#faultIn(datagram, member, message, nowMs)
    if (fault !== undefined) return { kind: 'dropped', reason: fault }
    this.#transactions.delete(id)
    if (!this.#members.has(member.device)) return { kind: 'dropped', reason: 'unknown-user' }
    const { device } = member
    if (purpose === 'check' || typeof path === 'string' || mapped === undefined) {
      const answer = { device, path, roundTripMs, mapped, receivedBytes }
      return { kind: 'answer', ...answer, ...(probed === undefined ? {} : { probed }) }
    }
    return { kind: 'mapped', server: path, device, mapped, roundTripMs }
  }

  #faultIn(
    datagram: Uint8Array,
    member: Member,
    { unknownRequired, hasFingerprint, responsePort }: ReceivedStun,
    nowMs: number,
  ): DropReason | undefined {
    if (!hasFingerprint) return 'malformed'
    if (!this.#verifications.take(nowMs)) return 'too-many'
    if (!verifyIntegrity(datagram, member.key)) return 'not-authentic'
    return unknownRequired.length > 0 || responsePort !== undefined ? 'refused' : undefined
  }
}

function isSamePath(a: CheckPath, b: CheckPath): boolean {
  return typeof a === 'string' || typeof b === 'string' ? a === b : sameEndpoint(a, b)
}
