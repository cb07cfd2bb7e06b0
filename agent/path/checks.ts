/** Connectivity checks as messages: STUN binding requests and answers between members, authenticated by
 *  the key that their two WireGuard keys share (SPEC §10), and the requests that await an answer. */
import type { AgreementKeyPair, AgreementPublicKey } from '../../crypto/agreement.ts'
import { equal, toHex } from '../../crypto/bytes.ts'
import { addressFamily, type Endpoint, sameEndpoint } from '../../protocol/address.ts'
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
import type { CheckPath, DropReason, Received } from './received.ts'
import { Verifications } from './verifications.ts'

export type { CheckPath, Received } from './received.ts'

/** An answer after this long is none: longer than any round trip in use. Milliseconds. */
const TRANSACTION_MS = 5000
/** Makes a check over IPv6 as long as its answer, bytes of PADDING; over IPv4 it is longer. */
const IPV6_PADDING = 4
/** Makes a request without credentials as long as its answer, over IPv6 too (SPEC §10.6). */
const ASKING = 'nexodus asks where it is'

/** Bytes of an attribute's type and length. */
const ATTRIBUTE_BYTES = 4

export interface Checks {
  /** The members whose checks are answered, but for one whose WireGuard key is unusable. */
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
  /** Total: whatever is no message for us is dropped, with the reason.
   *  @param via of what came by a relay: whose the relay says it is */
  receive(datagram: Uint8Array, from: CheckPath, nowMs: number, via?: DeviceId): Received
}

interface Member {
  readonly device: DeviceId
  readonly address: RelayAddress
  readonly wireguardKey: AgreementPublicKey
  /** Made when it is first needed: of a thousand members most never are. Undefined where their key is unusable. */
  key(): Uint8Array | undefined
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
  readonly #verifications = new Verifications()
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
    const members = [...peers].map(([device, wireguardKey]): Member => {
      const known = this.#members.get(device)
      if (known !== undefined && equal(known.wireguardKey, wireguardKey)) return known
      return this.#memberOf(device, wireguardKey)
    })
    this.#members = new Map(members.map((member) => [member.device, member]))
    this.#verifications.keep(this.#members)
    this.#byAddress = new Map(members.map((member) => [member.address, member]))
  }

  #memberOf(device: DeviceId, wireguardKey: AgreementPublicKey): Member {
    let key: Uint8Array | 'unusable' | undefined
    return {
      ...{ device, address: relayAddressOf(device), wireguardKey },
      key: () => {
        key ??= this.#keyWith(wireguardKey) ?? 'unusable'
        return key === 'unusable' ? undefined : key
      },
    }
  }

  #keyWith(wireguardKey: AgreementPublicKey): Uint8Array | undefined {
    try {
      return checkKey(this.#keys, wireguardKey)
    } catch (error) {
      // A key of small order: WireGuard will not speak to it either.
      if (error instanceof Error && 'code' in error && error.code === 'ERR_KEY') return undefined
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
    const key = member?.key()
    if (member === undefined || key === undefined) return undefined
    const username = checkUsername(device, this.#device)
    const transactionId = this.#begin({ purpose, member, path, sentMs: nowMs, probed })
    const check: StunMessage = { kind: 'request', transactionId, username }
    const padded = (padding: number) => encodeStun({ ...check, padding }, key)
    const isIpv6 = typeof path !== 'string' && addressFamily(path.address) === 6
    if (probed === undefined && isIpv6) return padded(IPV6_PADDING)
    const plain = encodeStun(check, key)
    if (probed === undefined || probed === 0) return plain
    return padded(probed - plain.length - ATTRIBUTE_BYTES)
  }

  ask(server: Endpoint, nowMs: number): Uint8Array {
    return this.#plain('ask', server, nowMs)
  }

  hairpin(mapped: Endpoint, nowMs: number): Uint8Array {
    return this.#plain('hairpin', mapped, nowMs)
  }

  #plain(purpose: 'ask' | 'hairpin', path: Endpoint, nowMs: number): Uint8Array {
    const transactionId = this.#begin({ purpose, member: undefined, path, sentMs: nowMs })
    const said = purpose === 'ask' ? { software: ASKING } : {}
    return encodeStun({ kind: 'request', transactionId, ...said })
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

  receive(datagram: Uint8Array, from: CheckPath, nowMs: number, via?: DeviceId): Received {
    try {
      const message = parseStun(datagram)
      if (message.kind === 'request')
        return this.#returned(message) ?? this.#requested(datagram, message, { from, via, nowMs })
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
    { from, via, nowMs }: { from: CheckPath; via: DeviceId | undefined; nowMs: number },
  ): Received {
    const { receiver, sender } = parseCheckUsername(message.username ?? '')
    const member = receiver === this.#own ? this.#byAddress.get(sender) : undefined
    if (member === undefined || (via !== undefined && via !== member.device))
      return { kind: 'dropped', reason: 'unknown-user' }
    const { device } = member
    const may = message.hasFingerprint ? this.#verifications.mayAsk(device, from, nowMs) : 'yes'
    if (may !== 'yes') return dropped(may === 'no' ? 'too-many' : 'flood', device)
    const fault = faultIn(datagram, member, message)
    if (fault !== undefined) return dropped(fault, device)
    if (!this.#verifications.asked(device, from, nowMs)) return dropped('flood', device)
    return { kind: 'request', device, answer: this.#answerTo(datagram, message, member, from) }
  }

  /** No longer than what it answers: nobody is to gain by a source that is forged. */
  #answerTo(
    { length }: Uint8Array,
    { transactionId }: ReceivedStun,
    member: Member,
    from: CheckPath,
  ): Uint8Array {
    const seen = typeof from === 'string' ? {} : { mappedAddress: from }
    const answer = { kind: 'success' as const, transactionId, ...seen }
    const whole = typeof from === 'string' ? answer : { ...answer, ...this.#received(member) }
    const encoded = encodeStun(whole, member.key())
    return encoded.length <= length ? encoded : encodeStun(answer, member.key())
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
    if (!this.#verifications.mayAnswer(nowMs)) return { kind: 'dropped', reason: 'too-many' }
    const fault = faultIn(datagram, member, message)
    if (fault !== undefined) return { kind: 'dropped', reason: fault }
    this.#verifications.answered(member.device, from)
    this.#transactions.delete(id)
    if (!this.#members.has(member.device)) return { kind: 'dropped', reason: 'unknown-user' }
    const { device } = member
    if (purpose === 'check' || typeof path === 'string' || mapped === undefined) {
      const answer = { device, path, roundTripMs, mapped, receivedBytes }
      return { kind: 'answer', ...answer, ...(probed === undefined ? {} : { probed }) }
    }
    return { kind: 'mapped', server: path, device, mapped, roundTripMs }
  }
}

function dropped(reason: DropReason, device: DeviceId): Received {
  return { kind: 'dropped', reason, device }
}

function faultIn(
  datagram: Uint8Array,
  member: Member,
  { unknownRequired, hasFingerprint, responsePort }: ReceivedStun,
): DropReason | undefined {
  if (!hasFingerprint) return 'malformed'
  const key = member.key()
  if (key === undefined || !verifyIntegrity(datagram, key)) return 'not-authentic'
  return unknownRequired.length > 0 || responsePort !== undefined ? 'refused' : undefined
}

function isSamePath(a: CheckPath, b: CheckPath): boolean {
  return typeof a === 'string' || typeof b === 'string' ? a === b : sameEndpoint(a, b)
}
