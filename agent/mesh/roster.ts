/** Roster: who belongs to the mesh now, and the end of whoever no longer does. */

import type { Connection } from '@libp2p/interface'
import { abortConnection } from '../../protocol/abort.ts'
import { prefixAddress } from '../../protocol/address.ts'
import { memberOf } from '../../protocol/belief.ts'
import type { Clock } from '../../protocol/clock.ts'
import { BadSignatureError, MalformedError } from '../../protocol/errors.ts'
import type { HelloPeer } from '../../protocol/hello.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import type { Log } from '../../protocol/log.ts'
import type { OrganizationState } from '../../protocol/state.ts'
import { DENY_MS } from './admission.ts'
import type { DeniedPeers } from './denied.ts'
import { peerIdOf } from './device-peer.ts'
import { deviceOfLink, type Link, type LinkKind, type Links } from './links.ts'
import { ipOf, isCircuit } from './multiaddrs.ts'
import type { MeshNode } from './node.ts'

/** Milliseconds a device is denied that is no member any more; a new certificate ends that at once. */
const EXPELLED_MS = 600_000
/** Milliseconds until its connections end: what ended its membership reaches it by them, and hardly by anything else, for
 *  nobody talks to it after. */
const FAREWELL_MS = 250

export interface RosterOptions {
  readonly mesh: MeshNode
  readonly links: Links
  readonly denied: DeniedPeers
  state(): OrganizationState
  readonly clock: Clock
  readonly log: Log
}

export class Roster {
  readonly #options: RosterOptions
  #devices: ReadonlySet<DeviceId> = new Set()
  readonly #leaving = new Set<DeviceId>()

  constructor(options: RosterOptions) {
    this.#options = options
  }

  /** Denies at once whoever was there and is not any more, and whoever is linked and no member; their connections end in a
   *  moment. */
  set(devices: readonly DeviceId[]): void {
    const before = this.#devices
    this.#devices = new Set(devices)
    for (const device of this.#devices) {
      if (!before.has(device)) this.#options.denied.allow(peerIdOf(device).toString())
    }
    for (const device of before) if (!this.#devices.has(device)) this.#expel(device)
    for (const link of this.#options.links.all()) {
      const device = deviceOfLink(link)
      if (device !== undefined && !this.#isMember(device)) this.#expel(device)
    }
  }

  #isMember(device: DeviceId): boolean {
    if (this.#devices.has(device)) return true
    return memberOf(this.#options.state(), device, this.#options.clock.now()) !== undefined
  }

  #expel(device: DeviceId): void {
    const { denied, clock } = this.#options
    denied.deny(peerIdOf(device).toString(), EXPELLED_MS)
    if (this.#leaving.has(device)) return
    this.#leaving.add(device)
    clock.after(FAREWELL_MS, () => {
      this.#leaving.delete(device)
      if (!this.#isMember(device)) this.#part(device)
    })
  }

  #part(device: DeviceId): void {
    const { mesh, links, log } = this.#options
    const id = peerIdOf(device)
    const peer = id.toString()
    const open = links.to(peer)
    for (const { connection } of open) abortConnection(connection, new Error('no member any more'))
    log('info', 'mesh.peer-expelled', { device, peer, connections: open.length })
    mesh.forget(id).catch((error: unknown) => {
      log('debug', 'mesh.peer-not-forgotten', { peer, reason: String(error) })
    })
  }

  /** What went wrong with a link: ends it where the other is at fault. */
  blame(link: Link, error: unknown): void {
    const { links, denied, log } = this.#options
    const reason = error instanceof Error ? error.message : String(error)
    if (!(error instanceof MalformedError || error instanceof BadSignatureError)) {
      log('debug', 'mesh.stream-failed', { peer: link.peer, reason })
      return
    }
    const who = link.who.kind === 'device' ? { name: link.who.name } : { name: 'registry' }
    if (link.who.kind === 'device') denied.deny(link.peer, DENY_MS, reason)
    denied.tell(link.peer, 'mesh.peer-faulty', { ...who, reason })
    for (const { connection } of links.to(link.peer)) abortConnection(connection, error)
  }

  /** Through the tunnel, when the other end's address is one of its overlay addresses. */
  kindOf(connection: Connection, who: HelloPeer): LinkKind {
    if (isCircuit(connection.remoteAddr)) return 'circuit'
    if (who.kind === 'registry') return 'direct'
    const { state, clock } = this.#options
    const member = memberOf(state(), who.device, clock.now())
    const ip = ipOf(connection.remoteAddr)
    const isOverlay = member?.certificate.addresses.some((each) => prefixAddress(each) === ip)
    return isOverlay === true ? 'overlay' : 'direct'
  }
}
