/** Relay client: sends datagrams by the best relay, and knows which that is for each device. */
import type { Clock } from '../../protocol/clock.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import type { Log } from '../../protocol/log.ts'
import type { RelayFrame } from '../../protocol/relay.ts'
import { relayedKind } from '../../protocol/relay-datagram.ts'
import { isStun } from '../../protocol/stun.ts'
import type { RelayAddresses } from './relay-addresses.ts'
import { chooseRelays, mayReach } from './relay-choice.ts'
import { type Choice, type RelayEnd, RelayEnds, type RelayParty } from './relay-ends.ts'
import type { RelayRoles } from './relay-roles.ts'
import { Undelivered } from './relay-undelivered.ts'

/** Datagrams passed so lately: a sign of a break is worth a check. Milliseconds. */
const IN_USE_MS = 5000
/** The relay used has brought nothing for so long, and another one has. Milliseconds. */
const UNHEARD_MS = 300
/** The relay used was proved so lately that there is nothing to ask. Milliseconds. */
const PROVED_MS = 2500
/** A choice is good for so long: choosing for each datagram of a stream would cost more than sending it. */
const QUICK_MS = 50
/** Between two checks that are asked for of one device. Milliseconds. */
const DOUBT_SPACING_MS = 500

export interface RelayClientOptions {
  /** Who may pass on datagrams to others, by what its certificate says? */
  readonly roles: RelayRoles
  readonly addresses: RelayAddresses
  /** @param relay id of the one that brought it */
  onDatagram(from: DeviceId, datagram: Uint8Array, relay: string): void
  /** The relay in use may not reach the device any more: checks through the relays are due. */
  onRelayDoubt(device: DeviceId): void
  readonly clock: Clock
  readonly random: (n: number) => Uint8Array
  readonly log: Log
}

/** How a device is reached. */
export interface RelayInUse {
  readonly name: string
  /** Undefined: a registry. */
  readonly device: DeviceId | undefined
  readonly by: 'udp' | 'tcp'
}

/** The relay used for a device. */
interface Used {
  id: string | undefined
  usedAt: number
  doubtedAt: number
  /** The end chosen a moment ago, for a stream of datagrams. */
  quick: { readonly end: RelayEnd; readonly at: number } | undefined
  /** Which of the others is looked at next. */
  turn: number
}

export class RelayClient {
  readonly #ends = new RelayEnds()
  readonly #used = new Map<DeviceId, Used>()
  readonly #undelivered: Undelivered
  #peerNames: ReadonlyMap<DeviceId, string> = new Map()
  readonly #options: RelayClientOptions

  constructor(options: RelayClientOptions) {
    this.#options = options
    this.#undelivered = new Undelivered(options.clock, (to, datagram) => {
      const choices = this.#choices(to)
      return sendBy(choices, { peer: options.addresses.of(to), datagram })
    })
  }

  stop(): void {
    this.#undelivered.stop()
  }

  /** From now on it is a way. */
  add(end: RelayEnd): void {
    this.#ends.add(end)
  }

  remove(end: RelayEnd): void {
    this.#ends.remove(end)
  }

  /** Forgets whoever is no peer any more. */
  setPeers(peers: readonly { readonly device: DeviceId; readonly name: string }[]): void {
    this.#peerNames = new Map(peers.map(({ device, name }) => [device, name]))
    for (const device of this.#used.keys()) {
      if (this.#peerNames.has(device)) continue
      this.#used.delete(device)
      this.#undelivered.forget(device)
    }
  }

  received(end: RelayEnd, { peer, datagram }: RelayFrame): void {
    const now = this.#options.clock.monotonicMs()
    const device = this.#options.addresses.deviceAt(peer)
    if (!this.#maySpeakFor(end.relay, device)) return
    if (datagram.length === 0) {
      this.#ends.unreachable(end, peer, now)
      if (device !== undefined) this.#undelivered.retry(device)
      return
    }
    this.#ends.heard(end, peer, now)
    if (device === undefined) return
    this.#undelivered.forget(device)
    const used = this.#usedFor(device)
    if (relayedKind(datagram) === 'wireguard') used.usedAt = now
    this.#follow(device, used, end, now)
    this.#options.onDatagram(device, datagram, end.relay.id)
  }

  /** False when no relay is connected, or all have said that they do not reach the device. One that is full drops, as any
   *  link does, and is a way all the same.
   *  @param relay id of the one to send by, whatever is known of it */
  send(to: DeviceId, datagram: Uint8Array, relay?: string): boolean {
    const now = this.#options.clock.monotonicMs()
    const peer = this.#options.addresses.of(to)
    const isCheck = isStun(datagram)
    const used = this.#usedFor(to)
    const { quick } = used
    if (!isCheck && quick !== undefined && now - quick.at < QUICK_MS && isWell(quick.end)) {
      used.usedAt = now
      quick.end.send({ peer, datagram })
      return true
    }
    const choices = this.#choices(to)
    if (relay !== undefined) {
      const named = choices.filter(({ id }) => id === relay).slice(-1)
      if (isRequest(datagram)) for (const { end } of named) this.#ends.asked(end, peer, now)
      return sendBy(named, { peer, datagram })
    }
    const chosen = this.#choose(to, choices, now)
    const [best, second] = chosen
    if (!isCheck) used.usedAt = now
    if (second === undefined && best?.heardAt !== undefined) used.quick = { end: best.end, at: now }
    if (!isCheck) {
      if (best?.to !== 'itself' && best?.heardAt === undefined) this.#undelivered.keep(to, datagram)
      if (chosen.length === 0) this.#undelivered.retry(to)
    }
    return sendBy(chosen, { peer, datagram })
  }

  /** Ids of the relays to check: the one in use and one of the others in turn, or a few that may be right. */
  routes(to: DeviceId): readonly string[] {
    const now = this.#options.clock.monotonicMs()
    const choices = this.#choices(to)
    const chosen = this.#choose(to, choices, now)
    const ids = new Set(chosen.map(({ id }) => id))
    const others = [...new Set(choices.filter((each) => mayReach(each, now)).map(({ id }) => id))]
      .filter((id) => !ids.has(id))
      .toSorted()
    const used = this.#usedFor(to)
    used.turn += 1
    const other = others[used.turn % Math.max(1, others.length)]
    if (ids.size === 1 && other !== undefined) ids.add(other)
    return [...ids]
  }

  /** A check by that relay was answered by it. The round trip of the relay that is used now, if it is known. */
  answered(from: DeviceId, relay: string, roundTripMs: number): number | undefined {
    const now = this.#options.clock.monotonicMs()
    this.#ends.answered(relay, this.#options.addresses.of(from), roundTripMs, now)
    return this.#choose(from, this.#choices(from), now)[0]?.roundTripMs
  }

  /** Names of the relays by which the device may be reached, the best first. */
  names(to: DeviceId): readonly string[] {
    const now = this.#options.clock.monotonicMs()
    const choices = this.#choices(to)
    const chosen = chooseRelays(choices, now, this.#used.get(to)?.id)
    const others = choices.filter((each) => mayReach(each, now) && !chosen.includes(each))
    return [...new Set([...chosen, ...others].map(({ name }) => name))]
  }

  /** By which relay, and by what, the next datagram goes; undefined where none is proved. */
  inUse(to: DeviceId): RelayInUse | undefined {
    const now = this.#options.clock.monotonicMs()
    const [best, second] = chooseRelays(this.#choices(to), now, this.#used.get(to)?.id)
    if (best === undefined || second !== undefined) return undefined
    return { name: best.name, device: best.end.relay.device, by: best.end.by() }
  }

  /** Whoever is no relay brings nothing of others: it could break handshakes in their name. */
  #maySpeakFor(relay: RelayParty, device: DeviceId | undefined): boolean {
    if (device !== undefined && relay.device === device) return true
    return this.#options.roles.has(relay.device)
  }

  #choices(to: DeviceId): readonly Choice[] {
    return this.#ends.choices(to, this.#options.addresses.of(to))
  }

  #choose(to: DeviceId, choices: readonly Choice[], now: number): readonly Choice[] {
    const used = this.#usedFor(to)
    const chosen = chooseRelays(choices, now, used.id)
    const [best, second] = chosen
    if (best !== undefined && second === undefined && best.id !== used.id) {
      const from =
        used.id === undefined ? {} : { from: choices.find(({ id }) => id === used.id)?.name }
      used.id = best.id
      // Of peers that nobody talks to the operator need not hear.
      const level = now - used.usedAt < IN_USE_MS ? 'info' : 'debug'
      this.#options.log(level, 'peer.relay-changed', {
        ...{ peer: this.#peerNames.get(to), relay: best.name, by: best.end.by(), ...from },
        ...(best.roundTripMs === undefined ? {} : { roundTripMs: Math.round(best.roundTripMs) }),
      })
    }
    return chosen
  }

  /** The device sends by another relay than we do: it may have lost ours. Which works, a check tells. */
  #follow(device: DeviceId, used: Used, end: RelayEnd, now: number): void {
    if (end.relay.id === used.id || now - used.usedAt >= IN_USE_MS) return
    const ours = this.#choices(device).find(({ id }) => id === used.id)
    if (ours === undefined || now - (ours.heardAt ?? -Infinity) < UNHEARD_MS) return
    if (now - (ours.answeredAt ?? -Infinity) < PROVED_MS) return
    this.#doubt(device, used, now)
  }

  /** Whoever is reached by this relay now hears of us by another one. */
  doubted(end: RelayEnd): void {
    const now = this.#options.clock.monotonicMs()
    const isDoubted = end.isDoubted()
    this.#options.log('info', isDoubted ? 'relay.silent' : 'relay.answers', {
      relay: end.relay.name,
    })
    if (!isDoubted) return
    for (const [device, used] of this.#used) {
      if (used.id === end.relay.id && now - used.usedAt < IN_USE_MS) this.#doubt(device, used, now)
    }
  }

  #doubt(device: DeviceId, used: Used, now: number): void {
    if (now - used.doubtedAt < DOUBT_SPACING_MS) return
    used.doubtedAt = now
    this.#options.onRelayDoubt(device)
  }

  #usedFor(device: DeviceId): Used {
    const known = this.#used.get(device)
    if (known !== undefined) return known
    const made = {
      id: undefined,
      usedAt: -Infinity,
      doubtedAt: -Infinity,
      turn: 0,
      quick: undefined,
    }
    this.#used.set(device, made)
    return made
  }
}

/** Was there a way? */
function sendBy(choices: readonly Choice[], frame: RelayFrame): boolean {
  for (const { end } of choices) end.send(frame)
  return choices.length > 0
}

function isWell(end: RelayEnd): boolean {
  return end.isOpen() && !end.isDoubted()
}

/** A STUN request; its two first bytes are 00 01 (RFC 8489 §5). */
function isRequest(datagram: Uint8Array): boolean {
  return isStun(datagram) && datagram[0] === 0 && datagram[1] === 1
}
