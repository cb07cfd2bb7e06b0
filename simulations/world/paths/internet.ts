/** A virtual internet of sites: hosts with private addresses behind NAT boxes, and access links with delay and loss.
 *  Datagrams alone; what streams do is modelled where they are used (relay.ts). */
import { type Endpoint, type IpAddress, parseIpAddress } from '../../../protocol/address.ts'
import type { SiteKind } from '../../lab/nat.ts'
import type { VirtualClock } from '../virtual-clock.ts'
import { type NatBehaviour, NatBox } from './nat-box.ts'

/** The laboratory's, over IPv4. */
export const PATH_SITE_KINDS = [
  'public',
  'fw',
  'full',
  'addr',
  'port',
  'symm',
  'cgnat',
  'cgsymm',
  'udpblock',
  'port-np',
] as const satisfies readonly SiteKind[]
export type PathSiteKind = (typeof PATH_SITE_KINDS)[number]

/** What leaves by WireGuard's port of a host, and reaches it. */
export interface Datagram {
  readonly from: Endpoint
  readonly to: Endpoint
  readonly bytes: Uint8Array
}

export interface Link {
  /** One way, milliseconds. */
  readonly delayMs: number
  /** From 0 to 1, each way. */
  readonly loss: number
}

/** Milliseconds from one host of a LAN to another. */
const LAN_MS = 0.3
/** Milliseconds without a packet from inside: from the shortest in the field to what RFC 4787 §4.3 recommends. */
const LIFETIMES_MS = [30_000, 120_000] as const

export class Site {
  readonly kind: PathSiteKind
  readonly link: Link
  readonly number: number
  /** From the inside out. */
  readonly boxes: readonly NatBox[]
  #renumbered = 0

  constructor(number: number, kind: PathSiteKind, link: Link, random: () => number) {
    this.number = number
    this.kind = kind
    this.link = link
    const lifetimeMs = LIFETIMES_MS[random() < 0.5 ? 0 : 1]
    this.boxes = behaviours(kind, lifetimeMs).map(
      (behaviour) => new NatBox(behaviour, this.address, random),
    )
  }

  /** The public address. */
  get address(): IpAddress {
    return parseIpAddress(`198.18.${this.number}.${2 + this.#renumbered}`)
  }

  get isPublic(): boolean {
    return this.kind === 'public' || this.kind === 'fw'
  }

  /** A new public address, and no mapping is left. */
  renumber(): void {
    this.#renumbered += 1
    this.flush()
    for (const box of this.boxes) box.address = this.address
  }

  flush(): void {
    for (const box of this.boxes) box.flush()
  }
}

export interface Attachment {
  readonly site: Site
  address: IpAddress
  receive(datagram: Datagram): void
  /** Says of a datagram that the path swallows it, as a network that knows WireGuard and dislikes it. */
  isSwallowed(datagram: Datagram): boolean
}

export class Internet {
  readonly #clock: VirtualClock
  readonly #random: () => number
  readonly #hosts: Attachment[] = []

  constructor(clock: VirtualClock, random: () => number) {
    this.#clock = clock
    this.#random = random
  }

  attach(host: Attachment): void {
    this.#hosts.push(host)
  }

  detach(host: Attachment): void {
    this.#hosts.splice(this.#hosts.indexOf(host), 1)
  }

  send(from: Attachment, datagram: Datagram): void {
    if (from.isSwallowed(datagram)) return
    const neighbour = this.#hosts.find(
      ({ site, address }) => site === from.site && address === datagram.to.address,
    )
    if (neighbour !== undefined) this.#deliver(neighbour, datagram, LAN_MS)
    else this.#outward(from, datagram)
  }

  /** No box hairpins. */
  #outward({ site }: Attachment, { from, to, bytes }: Datagram): void {
    const isOwn = site.address === to.address
    if (isOwn || site.kind === 'udpblock' || this.#isLost(site.link)) return
    const nowMs = this.#clock.monotonicMs()
    const seen = site.boxes.reduce((source, box) => box.outward(source, to, nowMs), from)
    this.#clock.after(site.link.delayMs, () => this.#inward({ from: seen, to, bytes }))
  }

  /** At the edge of whatever site has the address. */
  #inward({ from, to, bytes }: Datagram): void {
    const host = this.#hosts.find(({ site }) => site.address === to.address)
    if (host === undefined || this.#isLost(host.site.link)) return
    const { site } = host
    const nowMs = this.#clock.monotonicMs()
    let target: Endpoint | undefined = to
    for (const box of site.boxes.toReversed()) target &&= box.inward(target, from, nowMs)
    if (target === undefined) return
    const { address } = target
    const inside = this.#hosts.find((each) => each.site === site && each.address === address)
    if (inside !== undefined) this.#deliver(inside, { from, to: target, bytes }, site.link.delayMs)
  }

  #deliver(host: Attachment, datagram: Datagram, afterMs: number): void {
    if (host.isSwallowed(datagram)) return
    this.#clock.after(afterMs, () => {
      if (host.address === datagram.to.address) host.receive(datagram)
    })
  }

  #isLost({ loss }: Link): boolean {
    return this.#random() < loss
  }
}

function behaviours(kind: PathSiteKind, lifetimeMs: number): readonly NatBehaviour[] {
  const restricted: NatBehaviour = {
    mapping: 'endpoint-independent',
    filtering: 'address-and-port-dependent',
    preservesPorts: true,
    lifetimeMs,
  }
  const symmetric: NatBehaviour = {
    ...restricted,
    mapping: 'address-and-port-dependent',
    preservesPorts: false,
  }
  switch (kind) {
    case 'public':
      return []
    case 'fw':
      return [{ ...restricted, mapping: 'none' }]
    case 'full':
      return [{ ...restricted, filtering: 'endpoint-independent' }]
    case 'addr':
      return [{ ...restricted, filtering: 'address-dependent' }]
    case 'port':
    case 'udpblock':
      return [restricted]
    case 'port-np':
      return [{ ...restricted, preservesPorts: false }]
    case 'cgnat':
      return [restricted, restricted]
    case 'symm':
      return [symmetric]
    case 'cgsymm':
      return [restricted, symmetric]
  }
}
