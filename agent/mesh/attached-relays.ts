/** Attached relays: where this device has no stream to any relay, it attaches to those that it knows by UDP alone: at a
 *  start long before libp2p is there, and where TCP gets nowhere (SPEC §12.7). */
import { createSocket, type Socket } from 'node:dgram'
import { type AgreementKeyPair, agreementKeyPairFromPrivate } from '../../crypto/agreement.ts'
import { addressFamily, type Endpoint, formatEndpoint } from '../../protocol/address.ts'
import type { Cancellable, Clock } from '../../protocol/clock.ts'
import type { DeviceKeyPair, OrganizationId } from '../../protocol/keys.ts'
import type { Log } from '../../protocol/log.ts'
import type { RelayAddress, RelayFrame } from '../../protocol/relay.ts'
import { openAttachAnswer, type RelayId, sealAttachRequest } from '../../protocol/relay-attach.ts'
import { noLookup } from '../host/no-lookup.ts'
import { AttachedLine } from './attached-line.ts'
import type { RelayEnd, RelayParty } from './relay-ends.ts'
import { sessionOver } from './relay-udp-socket.ts'

/** Milliseconds from one request to the next; then none for so long. */
const REPEAT_MS = [100, 200, 400] as const
const AGAIN_MS = 30_000

/** A relay that may be attached to. */
export interface AttachTarget {
  readonly endpoint: Endpoint
  /** As requests name it. */
  readonly to: RelayAddress
  /** Who may answer there. */
  readonly relays: ReadonlyMap<RelayId, RelayParty>
}

export interface AttachedRelaysOptions {
  readonly deviceKey: DeviceKeyPair
  readonly organization: OrganizationId
  /** @param turn grows from one to the next, so that all have theirs */
  targets(turn: number): readonly AttachTarget[]
  onOpen(end: RelayEnd): void
  onFrame(end: RelayEnd, frame: RelayFrame): void
  onDoubt(end: RelayEnd): void
  onClose(end: RelayEnd): void
  /** May the relay pass on datagrams, by what is believed now? */
  isRelay(relay: RelayParty): boolean
  readonly clock: Clock
  random(length: number): Uint8Array
  readonly log: Log
}

/** What is asked of one target. */
interface Asking {
  readonly target: AttachTarget
  readonly socket: Socket
  readonly ephemeral: AgreementKeyPair
  /** As they were sent: the answer belongs to one of them. */
  readonly requests: Uint8Array[]
  repeating: Cancellable | undefined
}

interface Attached {
  readonly line: AttachedLine
  readonly end: RelayEnd
}

export class AttachedRelays implements Disposable {
  readonly #options: AttachedRelaysOptions
  readonly #asking = new Set<Asking>()
  readonly #attached = new Map<RelayId, Attached>()
  #isWanted = false
  /** That none answers was told. */
  #isTold = false
  #again: Cancellable | undefined
  #newestMs = 0
  #turn = 0

  constructor(options: AttachedRelaysOptions) {
    this.#options = options
  }

  /** Attaches now, and as long as it is wanted; harmless when repeated. */
  want(): void {
    if (this.#isWanted) return
    this.#isWanted = true
    this.#ask()
  }

  /** A stream to a relay carries now: sessions go on until `close`, and no others are begun. */
  suffice(): void {
    this.#isWanted = false
    this.#again?.cancel()
    for (const asking of [...this.#asking]) this.#endAsking(asking)
  }

  /** Attaches anew, from where this host is now. */
  again(): void {
    this.close(() => true)
    this.#isWanted = true
    this.#ask()
  }

  /** Ends sessions at these relays. */
  close(isMeant: (id: RelayId) => boolean): void {
    for (const id of [...this.#attached.keys()].filter(isMeant)) this.#detach(id)
  }

  [Symbol.dispose](): void {
    this.suffice()
    this.close(() => true)
  }

  #ask(): void {
    const { targets, clock } = this.#options
    this.#again?.cancel()
    for (const asking of [...this.#asking]) this.#endAsking(asking)
    for (const target of targets(this.#turn)) this.#begin(target)
    this.#turn += 1
    this.#again = clock.after(AGAIN_MS, () => {
      if (this.#attached.size === 0 && !this.#isTold)
        this.#options.log('info', 'relay.none-answers')
      this.#isTold = this.#attached.size === 0
      this.#ask()
    })
  }

  #begin(target: AttachTarget): void {
    if ([...target.relays.keys()].some((id) => this.#isAnswering(id))) return
    const { address, port } = target.endpoint
    const family = addressFamily(address)
    const socket = createSocket({ type: `udp${family}`, lookup: noLookup(family) })
    const ephemeral = agreementKeyPairFromPrivate(this.#options.random(32))
    const asking: Asking = { target, socket, ephemeral, requests: [], repeating: undefined }
    this.#asking.add(asking)
    // A network that is not there, a port that nobody listens on: no answer.
    socket.on('error', () => undefined)
    socket.on('message', (bytes) => this.#answered(asking, bytes))
    socket.on('connect', () => this.#request(asking))
    socket.connect(port, address)
  }

  #request(asking: Asking): void {
    if (!this.#asking.has(asking)) return
    const { deviceKey, organization, clock } = this.#options
    const { requests, ephemeral, target, socket } = asking
    // Relays answer none that is not newer than the last.
    this.#newestMs = Math.max(this.#newestMs + 1, clock.nowMs())
    const request = sealAttachRequest(
      {
        ...{ to: target.to, organization },
        ephemeral: ephemeral.publicKey,
        sentAtMs: this.#newestMs,
      },
      deviceKey,
    )
    socket.send(request, () => undefined)
    const waitMs = REPEAT_MS[requests.length]
    requests.push(request)
    if (waitMs !== undefined) asking.repeating = clock.after(waitMs, () => this.#request(asking))
  }

  #answered(asking: Asking, bytes: Uint8Array): void {
    if (!this.#asking.has(asking)) return
    const { target, ephemeral, requests, socket } = asking
    const ids = new Set(target.relays.keys())
    for (const request of requests) {
      const opened = openAttachAnswer(bytes, request, ephemeral.privateKey, ids)
      const relay = opened && target.relays.get(opened.relay)
      if (opened === undefined || relay === undefined) continue
      // The same relay by another of its addresses.
      if (this.#isAnswering(relay.id)) {
        this.#endAsking(asking)
        return
      }
      asking.repeating?.cancel()
      this.#asking.delete(asking)
      socket.removeAllListeners('message')
      this.#detach(relay.id)
      const session = sessionOver(socket, opened.keys, (frame) => line.received(frame), true)
      const line: AttachedLine = this.#attach(relay, session, target.endpoint)
      return
    }
  }

  #attach(
    relay: RelayParty,
    session: ReturnType<typeof sessionOver>,
    endpoint: Endpoint,
  ): AttachedLine {
    const { clock, random, log, onFrame, onDoubt, onOpen } = this.#options
    const line: AttachedLine = new AttachedLine(session, {
      ...{ clock, random },
      onFrame: (frame) => onFrame(end, frame),
      onDoubt: () => onDoubt(end),
      onDead: () => {
        this.#detach(relay.id)
        if (this.#isWanted) this.#ask()
      },
    })
    const end: RelayEnd = {
      relay,
      isCircuit: false,
      passesOn: () => this.#options.isRelay(relay),
      isOpen: () => line.isOpen(),
      isDoubted: () => line.isDoubted(),
      by: () => 'udp',
      send: (frame) => line.send(frame),
    }
    this.#attached.set(relay.id, { line, end })
    log('debug', 'relay.attached', { relay: relay.name, endpoint: formatEndpoint(endpoint) })
    onOpen(end)
    return line
  }

  #isAnswering(id: RelayId): boolean {
    return this.#attached.get(id)?.line.isSilent() === false
  }

  #detach(id: RelayId): void {
    const attached = this.#attached.get(id)
    if (attached === undefined) return
    this.#attached.delete(id)
    attached.line.close()
    this.#options.log('debug', 'relay.detached', { relay: attached.end.relay.name })
    this.#options.onClose(attached.end)
  }

  #endAsking(asking: Asking): void {
    asking.repeating?.cancel()
    if (this.#asking.delete(asking)) asking.socket.close()
  }
}
