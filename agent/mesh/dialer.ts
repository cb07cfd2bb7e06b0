/** Dialer: keeps this device connected to registries and members, and never gives up. */
import { peerIdFromString } from '@libp2p/peer-id'
import type { DeviceId } from '../../protocol/keys.ts'
import { Pace } from '../../protocol/pace.ts'
import { peerIdOf } from './device-peer.ts'
import {
  type DialContext,
  type DialTarget,
  dialCircuit,
  dialDirectly,
  dialOverlay,
  linksTo,
  memberRest,
  overlayRest,
} from './dial-round.ts'
import { type DialPeer, merge, registryTargets, targetOf } from './dial-targets.ts'
import { rememberedKept } from './kept-peers.ts'
import type { Link } from './links.ts'
import { dialable } from './multiaddrs.ts'
import { type Redial, type Rest, startRedial } from './redial.ts'

/** Milliseconds between looks at which registries there are. */
const REGISTRIES_MS = 30_000
/** Rounds that failed before the DHT is asked where a peer is, and then each so many. */
const ASK_DHT_EVERY = 4
const DHT_MS = 5000
/** Rounds of direct dials that may fail while the tunnel carries the mesh: the peer may relay for others. */
const BESIDE_OVERLAY = 3

/** Of one peer, addresses that are new and dialled at once; then redial.ts takes its time. Who says another place
 *  each second is not to have all others dial there. */
const NEWS = { burst: 6, perSecond: 0.1 } as const

export interface DialerOptions extends DialContext {
  readonly device: DeviceId
  rendezvous(): readonly string[]
  readonly random: (n: number) => Uint8Array
}

interface Kept {
  target: DialTarget
  /** As DialPeer's; of a registry 0. */
  updateSequence: number
  readonly direct: Redial
  readonly overlay: Redial
  readonly circuit: Redial
}

export class Dialer {
  readonly #options: DialerOptions
  readonly #kept = new Map<string, Kept>()
  readonly #keptOf: ReturnType<typeof rememberedKept>
  readonly #timer: { cancel(): void }
  readonly #reaching = new Map<string, Promise<readonly Link[]>>()
  #peers: ReadonlyMap<string, DialPeer> = new Map()
  /** What mDNS and the DHT found, newest last. */
  readonly #found = new Map<string, readonly string[]>()
  readonly #news = new Pace(NEWS)

  constructor(options: DialerOptions) {
    this.#options = options
    this.#keptOf = rememberedKept(options.device)
    options.links.onDown((link) => this.#lost(link))
    options.links.onUp((link) => this.#linked(link))
    this.#timer = options.clock.every(REGISTRIES_MS, () => this.#refresh())
    this.#refresh()
  }

  stop(): void {
    this.#timer.cancel()
    for (const kept of this.#kept.values()) for (const way of waysOf(kept)) way.stop()
  }

  setPeers(peers: readonly DialPeer[]): void {
    this.#peers = new Map(peers.map((each) => [peerIdOf(each.device).toString(), each]))
    const devices = peers.map(({ device }) => device)
    const kept = this.#keptOf(devices)
    this.#refresh(devices.filter((each) => kept.has(each)).map((each) => peerIdOf(each).toString()))
  }

  /** The network has changed: everything is worth another try. */
  hint(): void {
    for (const kept of this.#kept.values()) for (const way of waysOf(kept)) way.hint()
  }

  /** The device is heard again, by a path of the tunnel's. */
  pathUp(device: DeviceId): void {
    const kept = this.#kept.get(peerIdOf(device).toString())
    if (kept === undefined) return
    const links = linksTo(kept.target, this.#options.links)
    if (links.every(({ kind }) => kind === 'circuit')) kept.overlay.hint()
  }

  /** A relay has come up: peers that nobody reached may be reached through it. */
  relayUp(): void {
    for (const { target, circuit } of this.#kept.values()) {
      if (linksTo(target, this.#options.links).length === 0) circuit.hint()
    }
  }

  /** The local network or the DHT says where a peer is. */
  found(peer: string, multiaddrs: readonly string[]): void {
    const kept = this.#kept.get(peer)
    if (kept === undefined || !this.#peers.has(peer)) return
    this.#found.set(peer, dialable(multiaddrs, this.#options.mesh.node.getMultiaddrs()))
    kept.target = this.#withFound(kept.target)
    if (linksTo(kept.target, this.#options.links).length === 0) this.#tellNews(peer, kept)
  }

  /** Tries once to reach a member. Resolves to the links there are then. One that is kept is being dialled
   *  already, and whoever else asks for a peer meanwhile shares the try: else each punch would dial. */
  reach(device: DeviceId): Promise<readonly Link[]> {
    const peer = peerIdOf(device).toString()
    const known = this.#peers.get(peer)
    if (known === undefined || this.#kept.has(peer)) {
      return Promise.resolve(this.#options.links.to(peer))
    }
    const under = this.#reaching.get(peer)
    if (under !== undefined) return under
    const own = this.#options.mesh.node.getMultiaddrs()
    const trying = this.#reachOnce(targetOf(known, own)).finally(() => this.#reaching.delete(peer))
    this.#reaching.set(peer, trying)
    return trying
  }

  async #reachOnce(target: DialTarget & { peer: string }): Promise<readonly Link[]> {
    const links = (): readonly Link[] => this.#options.links.to(target.peer)
    await Promise.any(
      [dialDirectly, dialOverlay, dialCircuit].map(async (dial) => {
        await dial(target, this.#options)
        if (links().length === 0) throw new Error('not reached')
      }),
    ).catch(() => undefined)
    return links()
  }

  #wanted: readonly string[] = []

  /** Brings what is kept to what is wanted: every registry and the chosen members. */
  #refresh(wantedPeers: readonly string[] = this.#wanted): void {
    this.#wanted = wantedPeers
    const wanted = new Map<string, DialTarget>(registryTargets(this.#options.rendezvous()))
    const own = this.#options.mesh.node.getMultiaddrs()
    for (const peer of wantedPeers) {
      const known = this.#peers.get(peer)
      if (known !== undefined) wanted.set(peer, merge(targetOf(known, own), wanted.get(peer)))
    }
    wanted.delete(this.#options.self)
    for (const [key, kept] of this.#kept) if (!wanted.has(key)) this.#drop(key, kept)
    for (const [key, target] of wanted) this.#keep(key, this.#withFound(target))
  }

  #keep(key: string, target: DialTarget): void {
    const known = this.#kept.get(key)
    const updateSequence = this.#peers.get(key)?.updateSequence ?? 0
    if (known !== undefined) {
      const isNews =
        updateSequence > known.updateSequence ||
        target.multiaddrs.some((each) => !known.target.multiaddrs.includes(each))
      Object.assign(known, { target, updateSequence })
      const links = linksTo(target, this.#options.links)
      if (isNews && links.every(({ kind }) => kind === 'circuit')) this.#tellNews(key, known)
      return
    }
    const { clock, random, links } = this.#options
    const rest = memberRest(() => this.#absent(key))
    const directly: Parameters<typeof startRedial>[0] = (failures, signal) =>
      this.#dial(kept, failures, signal)
    const kept: Kept = {
      ...{ target, updateSequence },
      direct: startRedial(directly, clock, random, rest),
      overlay: this.#redial(dialOverlay, () => kept.target, overlayRest(links)),
      circuit: this.#redial(dialCircuit, () => kept.target, rest),
    }
    this.#kept.set(key, kept)
    for (const way of waysOf(kept)) way.hint()
  }

  #tellNews(key: string, kept: Kept): void {
    if (!this.#news.spend(key, 1, this.#options.clock.monotonicMs())) return
    for (const way of waysOf(kept)) way.hint()
  }

  /** Members without a link; a registry, and a device that is alone, is not to wait for anybody's word. */
  #absent(key: string): number {
    const { links } = this.#options
    if (!this.#peers.has(key) || links.all().length === 0) return 1
    return [...this.#kept.keys()].filter((each) => links.to(each).length === 0).length
  }

  #redial(dial: typeof dialDirectly, target: () => DialTarget, rest: Rest): Redial {
    const { clock, random } = this.#options
    return startRedial(
      async (_, signal) => dial(target(), { ...this.#options, signal }),
      clock,
      random,
      rest,
    )
  }

  #drop(key: string, kept: Kept): void {
    for (const way of waysOf(kept)) way.stop()
    this.#kept.delete(key)
    this.#found.delete(key)
  }

  async #dial(kept: Kept, failures: number, signal: AbortSignal): Promise<boolean> {
    if (await dialDirectly(kept.target, { ...this.#options, signal })) return true
    const { peer } = kept.target
    const links = linksTo(kept.target, this.#options.links)
    const isLost = links.length === 0
    if (links.some(({ kind }) => kind === 'overlay') && failures >= BESIDE_OVERLAY) return true
    if (isLost && peer !== undefined && failures % ASK_DHT_EVERY === ASK_DHT_EVERY - 1) {
      await this.#askDht(peer, signal)
    }
    return false
  }

  async #askDht(peer: string, signal: AbortSignal): Promise<void> {
    const { mesh, log } = this.#options
    try {
      const { multiaddrs } = await mesh.node.peerRouting.findPeer(peerIdFromString(peer), {
        signal: AbortSignal.any([signal, AbortSignal.timeout(DHT_MS)]),
      })
      this.found(peer, multiaddrs.map(String))
    } catch (error) {
      log('debug', 'mesh.peer-not-found', { peer, reason: String(error) })
    }
  }

  #withFound(target: DialTarget): DialTarget {
    const found = this.#found.get(target.peer ?? '') ?? []
    return { ...target, multiaddrs: [...new Set([...target.multiaddrs, ...found])] }
  }

  #lost(link: Link): void {
    const livedMs = this.#options.clock.nowMs() - link.sinceMs
    for (const [key, kept] of this.#kept) {
      const { target } = kept
      const isTarget =
        key === link.peer || (target.peer === undefined && link.who.kind === 'registry')
      if (!isTarget) continue
      for (const way of waysOf(kept)) way.lost(livedMs)
      // It may have rested while another way led there.
      if (linksTo(target, this.#options.links).length === 0) rouse(kept)
    }
    if (this.#options.links.all().length === 0) this.#wake(rouse)
  }

  /** The first link of a device that was alone, or a registry: what cut it off may be over for others, too. */
  #linked({ who }: Link): void {
    if (this.#options.links.all().length === 1) this.#wake(rouse)
    else if (who.kind === 'registry') this.#wake(rouseOutside)
  }

  #wake(how: typeof rouse): void {
    for (const kept of this.#kept.values()) {
      if (linksTo(kept.target, this.#options.links).length === 0) how(kept)
    }
  }
}

function rouse(kept: Kept): void {
  kept.overlay.hint()
  rouseOutside(kept)
}

function rouseOutside({ direct, circuit }: Kept): void {
  direct.rouse()
  circuit.rouse()
}

/** Each with a backoff of its own. */
function waysOf({ direct, overlay, circuit }: Kept): readonly Redial[] {
  return [direct, overlay, circuit]
}
