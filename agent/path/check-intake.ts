/** Check intake: what follows from a STUN message that arrived, by the network or by a relay. */
import type { Endpoint } from '../../protocol/address.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import { type FloodLog, newFloodLog } from '../flood-log.ts'
import type { LocalCandidates } from './candidates.ts'
import type { CheckBudget } from './check-budget.ts'
import type { CheckPath, Checks, Received } from './checks.ts'
import { type DropCounter, newDropCounter } from './drops.ts'
import type { MtuProbes } from './mtu-probes.ts'
import type { NatWatch } from './nat/watch.ts'
import type { PathsOptions } from './paths.ts'
import type { PeerPath } from './peer-path.ts'
import { relayOfPath } from './relay-checks.ts'
import type { Sprayer } from './spray/sprayer.ts'

export interface CheckIntakeOptions
  extends Pick<PathsOptions, 'sendDatagram' | 'relays' | 'clock' | 'log'> {
  readonly checks: Checks
  readonly budget: Pick<CheckBudget, 'heard' | 'proved'>
  readonly paths: ReadonlyMap<DeviceId, PeerPath>
  /** By WireGuard's port. */
  send(datagram: Uint8Array, to: Endpoint): void
}

export interface Arrived {
  readonly datagram: Uint8Array
  readonly from: CheckPath
  /** The device that a relay says it is from: the answer goes there, nothing else is believed. */
  readonly via: DeviceId | undefined
}

/** Who else hears of it; each may be missing while the paths open and close. */
export interface CheckListeners {
  readonly local: LocalCandidates | undefined
  readonly nat: NatWatch | undefined
  readonly mtus: MtuProbes | undefined
  readonly sprayer: Sprayer | undefined
}

export class CheckIntake {
  readonly #options: CheckIntakeOptions
  readonly #drops: DropCounter
  readonly #floods: FloodLog

  constructor(options: CheckIntakeOptions) {
    this.#options = options
    this.#drops = newDropCounter('path.checks-dropped', options.log)
    this.#floods = newFloodLog(options.log)
  }

  take(arrived: Arrived, listeners: CheckListeners): void {
    const { checks, clock } = this.#options
    const nowMs = clock.monotonicMs()
    const received = checks.receive(arrived.datagram, arrived.from, nowMs, arrived.via)
    switch (received.kind) {
      case 'request':
        this.#requested(received, arrived, listeners)
        break
      case 'answer':
        this.#answered(received, listeners)
        break
      case 'mapped':
        listeners.local?.observed(received.server, received.mapped, received)
        break
      case 'hairpinned':
        listeners.nat?.hairpinned(received.mapped)
        break
      case 'dropped':
        this.#dropped(received, arrived, nowMs)
        break
    }
  }

  /** What a stranger can do is counted; what takes a member's key, or is done in its name, is told. */
  #dropped(
    { reason, device }: Received & { readonly kind: 'dropped' },
    { from }: Arrived,
    nowMs: number,
  ): void {
    this.#drops.count(reason, nowMs)
    const name = device && this.#options.paths.get(device)?.peer.name
    if (name === undefined) return
    const address = typeof from === 'string' ? 'a relay' : from.address
    if (reason === 'flood') this.#floods.count('path.member-floods', name, nowMs, { address })
    if (reason === 'not-authentic') {
      const hint = 'somebody sends checks in its name without its key; they are dropped'
      this.#floods.count('path.checks-forged', name, nowMs, { address, hint })
    }
  }

  #requested(
    { device, answer }: Received & { readonly kind: 'request' },
    { from, via }: Arrived,
    { local }: CheckListeners,
  ): void {
    const { paths, sendDatagram, send } = this.#options
    if (typeof from === 'string') {
      sendDatagram(via ?? device, answer, relayOfPath(from))
      paths.get(device)?.give({ kind: 'relay-check-received' })
      return
    }
    // Inside the tunnel a check proves nothing about its outside.
    if (local?.mayBePeer(from) === false) return
    local?.nat.arrived(device, from)
    if (paths.get(device)?.isBlocked(from) === true) return
    send(answer, from)
    this.#options.budget.heard(device, from, this.#options.clock.monotonicMs())
    paths.get(device)?.give({ kind: 'check-received', endpoint: from })
  }

  #answered(
    answer: Received & { readonly kind: 'answer' },
    { local, mtus, sprayer }: CheckListeners,
  ): void {
    const { device, path, roundTripMs, mapped, receivedBytes, probed } = answer
    const peer = this.#options.paths.get(device)
    if (typeof path === 'string') {
      const relay = relayOfPath(path)
      const used = relay && this.#options.relays?.()?.relayAnswered(device, relay, roundTripMs)
      peer?.give({ kind: 'relay-check-answered', roundTripMs: used || roundTripMs })
      return
    }
    this.#options.budget.proved(device, path, this.#options.clock.monotonicMs())
    if (mapped !== undefined) local?.observed(path, mapped, { device })
    sprayer?.answered(device, path)
    if (probed === undefined) {
      peer?.give({ kind: 'check-answered', endpoint: path, roundTripMs, receivedBytes })
    } else mtus?.answered(device, path, probed, roundTripMs)
  }
}
