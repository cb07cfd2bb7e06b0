/** Relay client: keeps a relay stream warm on every link that may need one, and sends by the best. */
import type { Cancellable, Clock } from '../../protocol/clock.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import {
  encodeRelayFrame,
  RELAY_PROTOCOL,
  type RelayAddress,
  type RelayFrame,
} from '../../protocol/relay.ts'
import { deviceOfLink, type Link, type Links, nameOfLink } from './links.ts'
import type { RelayAddresses } from './relay-addresses.ts'
import { chooseRelays, mayReach, type RelayEvidence } from './relay-choice.ts'
import { type RelayStream, startRelayStream } from './relay-stream.ts'

const OPEN_MS = 5000
/** Milliseconds before a stream that ended on a living link is opened again. */
const REOPEN_MS = 1000
/** A datagram that no relay could deliver is sent again so often, so far apart: the other end may be
 *  just starting, and WireGuard would not send its first message again for 5 s. */
const RETRIES = 20
const RETRY_MS = 150

export interface RelayClientOptions {
  readonly links: Links
  /** Does the other end pass on datagrams to others? */
  relays(link: Link): boolean
  readonly addresses: RelayAddresses
  onDatagram(from: DeviceId, datagram: Uint8Array): void
  onFault(link: Link, error: unknown): void
  readonly clock: Clock
}

/** One warm stream and what it taught. */
interface Relay {
  readonly link: Link
  readonly stream: RelayStream
  readonly heard: Map<RelayAddress, number>
  readonly unreachable: Map<RelayAddress, number>
}

interface Choice extends RelayEvidence {
  readonly relay: Relay
}

interface Undelivered {
  readonly datagram: Uint8Array
  tries: number
  timer: Cancellable | undefined
}

/** Peers remembered for each relay; the oldest evidence goes first. */
const REMEMBERED = 4096

export class RelayClient {
  readonly #relays = new Map<string, Relay>()
  /** Ids of connections on which a stream is being opened. */
  readonly #opening = new Set<string>()
  readonly #undelivered = new Map<DeviceId, Undelivered>()
  readonly #options: RelayClientOptions
  #stopped = false

  constructor(options: RelayClientOptions) {
    this.#options = options
    options.links.onUp((link) => this.open(link))
    options.links.onDown(({ connection }) => this.#relays.delete(connection.id))
  }

  stop(): void {
    this.#stopped = true
    for (const { timer } of this.#undelivered.values()) timer?.cancel()
    this.#undelivered.clear()
  }

  /** Opens a relay stream where there should be one; harmless when there is. */
  open(link: Link): void {
    const { id } = link.connection
    if (!this.#isWanted(link) || this.#relays.has(id) || this.#opening.has(id)) return
    this.#opening.add(id)
    this.#start(link)
      .catch((error: unknown) => {
        this.#options.onFault(link, error)
        this.#reopen(link)
      })
      .finally(() => this.#opening.delete(id))
  }

  /** On a direct link the one who dialled opens the stream, and both send by it; a relay's client and
   *  either end of a circuit open one anyway. */
  #isWanted(link: Link): boolean {
    if (this.#stopped || link.kind === 'overlay' || link.connection.status !== 'open') return false
    if (link.connection.direction === 'outbound' || link.kind === 'circuit') return true
    return this.#options.relays(link)
  }

  async #start(link: Link): Promise<void> {
    const stream = await link.connection.newStream(RELAY_PROTOCOL, {
      signal: AbortSignal.timeout(OPEN_MS),
      runOnLimitedConnection: true,
    })
    const id = link.connection.id
    if (this.#stopped) return stream.abort(new Error('not wanted'))
    const relay: Relay = {
      link,
      heard: new Map(),
      unreachable: new Map(),
      stream: startRelayStream(stream, {
        onFrame: (frame) => this.#receive(relay, frame),
        onEnd: (error) => {
          if (this.#relays.get(id) === relay) this.#relays.delete(id)
          if (error !== undefined) this.#options.onFault(link, error)
          this.#reopen(link)
        },
      }),
    }
    this.#relays.set(id, relay)
  }

  #reopen(link: Link): void {
    if (!this.#stopped) this.#options.clock.after(REOPEN_MS, () => this.open(link))
  }

  #receive(relay: Relay, { peer, datagram }: RelayFrame): void {
    const now = this.#options.clock.monotonicMs()
    if (datagram.length === 0) {
      remember(relay.unreachable, peer, now)
      relay.heard.delete(peer)
      const device = this.#options.addresses.deviceAt(peer)
      if (device !== undefined) this.#retry(device)
      return
    }
    remember(relay.heard, peer, now)
    relay.unreachable.delete(peer)
    const device = this.#options.addresses.deviceAt(peer)
    if (device === undefined) return
    this.#forget(device)
    this.#options.onDatagram(device, datagram)
  }

  /** False when no relay is connected, or all have said that they do not reach the device, or are full. */
  send(to: DeviceId, datagram: Uint8Array): boolean {
    const choices = this.#choices(to)
    const chosen = chooseRelays(choices, this.#options.clock.monotonicMs())
    const [best] = chosen
    if (best?.to !== 'itself' && best?.heardAt === undefined) this.#keep(to, datagram)
    if (chosen.length === 0) this.#retry(to)
    return sendBy(chosen, this.#options.addresses.of(to), datagram)
  }

  /** Names of the relays by which the device may be reached, the best first. */
  names(to: DeviceId): readonly string[] {
    const now = this.#options.clock.monotonicMs()
    const choices = this.#choices(to)
    const chosen = chooseRelays(choices, now)
    const others = choices.filter((each) => mayReach(each, now) && !chosen.includes(each))
    return [...new Set([...chosen, ...others].map(({ name }) => name))]
  }

  #choices(to: DeviceId): readonly Choice[] {
    const address = this.#options.addresses.of(to)
    const choices: Choice[] = []
    for (const relay of this.#relays.values()) {
      const isItself = deviceOfLink(relay.link) === to
      if (!relay.stream.isOpen() || (!isItself && !this.#options.relays(relay.link))) continue
      choices.push({
        relay,
        name: nameOfLink(relay.link),
        to: isItself ? (relay.link.kind === 'circuit' ? 'itself-by-circuit' : 'itself') : 'others',
        isRegistry: relay.link.who.kind === 'registry',
        heardAt: relay.heard.get(address),
        unreachableAt: relay.unreachable.get(address),
      })
    }
    return choices
  }

  #keep(to: DeviceId, datagram: Uint8Array): void {
    this.#undelivered.get(to)?.timer?.cancel()
    this.#undelivered.set(to, { datagram: Uint8Array.from(datagram), tries: 0, timer: undefined })
  }

  #forget(to: DeviceId): void {
    this.#undelivered.get(to)?.timer?.cancel()
    this.#undelivered.delete(to)
  }

  /** Sends the newest datagram again in a while, by every relay, whatever they said. */
  #retry(to: DeviceId): void {
    const kept = this.#undelivered.get(to)
    if (kept === undefined || kept.timer !== undefined || this.#stopped) return
    if (kept.tries >= RETRIES) {
      this.#forget(to)
      return
    }
    kept.timer = this.#options.clock.after(RETRY_MS, () => {
      kept.timer = undefined
      kept.tries += 1
      const choices = this.#choices(to)
      if (choices.length === 0) this.#retry(to)
      else sendBy(choices, this.#options.addresses.of(to), kept.datagram)
    })
  }
}

function sendBy(choices: readonly Choice[], peer: RelayAddress, datagram: Uint8Array): boolean {
  const frame = encodeRelayFrame({ peer, datagram })
  return choices.filter(({ relay }) => relay.stream.send(frame)).length > 0
}

function remember(map: Map<RelayAddress, number>, address: RelayAddress, at: number): void {
  map.delete(address)
  const oldest = map.keys().next()
  if (map.size >= REMEMBERED && oldest.done !== true) map.delete(oldest.value)
  map.set(address, at)
}
