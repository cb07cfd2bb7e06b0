/** Route control: what the local API may ask of routes, the router and exits, and do with them. */
import {
  addressFamily,
  isDefaultPrefix,
  isHostPrefix,
  type Prefix,
  parsePrefix,
} from '../../protocol/address.ts'
import { type Member, mayAdvertise, memberOf } from '../../protocol/belief.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import { parseProbeOf, type RouteProbe } from '../../protocol/route-probe.ts'
import { ControlError } from '../control/reports.ts'
import type {
  ExitChange,
  ExitNodesReport,
  RouteChange,
  RouteControls,
  RouteReport,
  RouterChange,
  RouterReport,
} from '../control/route-report.ts'
import { explain } from '../errors.ts'
import { forwardBlockHint } from '../host/forward-blocks.ts'
import { refusalOf } from '../organizations/share.ts'
import type { ExitPreference } from './exit-choice.ts'
import { HAND_OVER_MS } from './follow.ts'
import type { RouteWish } from './next-claim.ts'
import { routeReports } from './route-reports.ts'
import type { RouteParts, RouteSide } from './route-side.ts'

/** Seconds that a drain may take unless its operator says otherwise. */
const DRAIN_SECONDS = 10

type Side = Pick<RouteSide, 'view' | 'say' | 'drain' | 'resume' | 'whyDrained'>

export class RouteControl implements RouteControls {
  readonly #parts: RouteParts
  readonly #side: Side

  constructor(parts: RouteParts, side: Side) {
    this.#parts = parts
    this.#side = side
  }

  routes(): readonly RouteReport[] {
    const { watch, daemon } = this.#parts
    const { clock } = daemon.options
    const startedAt = clock.nowMs() - clock.monotonicMs()
    return routeReports(this.#side.view(), {
      watch,
      self: daemon.device,
      nameOf: (device) => this.#nameOf(device),
      refusalOf: (prefix) => refusalOf(prefix, daemon.options.neighbours?.current),
      wallTime: (ms) => Math.floor((startedAt + ms) / 1000),
    })
  }

  async change(change: RouteChange): Promise<boolean> {
    const prefix = parsed(change.prefix, parsePrefix)
    const wish = this.#wish(prefix, change)
    if (wish.kind !== 'withdraw') this.#requireLeave(prefix)
    const isChanged = await this.#side.say(prefix, wish)
    await this.#parts.daemon.settled()
    return isChanged
  }

  router(): RouterReport {
    const { router, options, daemon } = this.#parts
    const said = daemon.statements.routes().filter(({ prefix }) => !isHostPrefix(prefix))
    const blocks = router?.blocks() ?? []
    return {
      prefixes: said.map(({ prefix, state }) => {
        const why = this.#side.whyDrained(prefix)
        return {
          ...{ prefix, state: state === 'draining' ? 'draining' : 'active' },
          ...(why === undefined ? {} : { why }),
        }
      }),
      forwards: router !== undefined,
      nat: options.nat,
      blocks: blocks.map((block) => ({
        ...block,
        hint: forwardBlockHint(block, options.interfaceName),
      })),
    }
  }

  async changeRouter({ action, within = DRAIN_SECONDS }: RouterChange): Promise<RouterReport> {
    if (action === 'resume') {
      await this.#side.resume()
      return this.router()
    }
    const isQuiet = await this.#side.drain(within * 1000)
    return { ...this.router(), isQuiet }
  }

  exits(): ExitNodesReport {
    const { exit, watch, daemon } = this.#parts
    const { preference, allowLocal } = exit.settings
    const wanted = preference.kind === 'device' ? this.#nameOf(preference.device) : preference.kind
    const planned = exit.families(daemon.plan).size > 0 ? 'on' : 'closed'
    const wantedState = preference.kind === 'off' ? 'off' : planned
    const state = exit.failure === undefined ? wantedState : 'failed'
    return {
      preference: wanted,
      inUse: watch.exit === undefined ? '' : this.#nameOf(watch.exit),
      allowLocal,
      state,
      why: this.#exitReason(state),
      exits: this.#offered(),
    }
  }

  async changeExit({ use, allowLocal }: ExitChange): Promise<ExitNodesReport> {
    const { exit, daemon } = this.#parts
    if (!exit.isPossible) {
      throw new ControlError(
        409,
        'this nexd has no interface, so no exit for the whole host (start it with another backend than userspace)',
      )
    }
    const preference = this.#preference(use)
    this.#requireExit(preference)
    await exit.set({ preference, allowLocal: allowLocal ?? exit.settings.allowLocal })
    daemon.apply()
    await daemon.settled()
    return this.exits()
  }

  #wish(prefix: Prefix, change: RouteChange): RouteWish {
    switch (change.action) {
      case 'advertise': {
        const probe: RouteProbe | undefined =
          change.probe === undefined
            ? undefined
            : parsed(change.probe, (text) => parseProbeOf(prefix, text))
        const handOverMs = change.handOver === true ? HAND_OVER_MS : undefined
        return { kind: 'advertise', metric: change.metric, probe, handOverMs }
      }
      case 'stand-by':
        requireHost(prefix, 'stands by for')
        return { kind: 'stand-by', priority: change.priority }
      case 'move':
        return this.#move(prefix, change.to)
      case 'withdraw':
        return { kind: 'withdraw' }
    }
  }

  #move(prefix: Prefix, to: string): RouteWish {
    requireHost(prefix, 'hands over')
    const { device } = this.#find(to).certificate
    const { claims, standbys } = this.#side.view()
    const holder = claims.get(prefix)?.[0]?.device
    if (holder !== this.#parts.daemon.device) {
      const who = holder === undefined ? 'nobody' : this.#nameOf(holder)
      throw new ControlError(
        409,
        `${prefix} is held by ${who}: only the holder moves it (or run "nexctl route advertise ${prefix} --hand-over" on ${to})`,
      )
    }
    const ready = [...(claims.get(prefix) ?? []), ...(standbys.get(prefix) ?? [])]
    if (!ready.some((claim) => claim.device === device)) {
      throw new ControlError(
        409,
        `${to} does not stand by for ${prefix} (run "nexctl route advertise ${prefix} --standby" on it first)`,
      )
    }
    return { kind: 'hand-over', successor: device }
  }

  #requireLeave(prefix: Prefix): void {
    const { daemon } = this.#parts
    const { knowledge, clock } = daemon.options
    const certificate = memberOf(knowledge.state(), daemon.device, clock.now())?.certificate
    if (certificate !== undefined && mayAdvertise(certificate, prefix)) return
    const name = certificate?.name ?? 'this device'
    const allowed = certificate?.prefixes.join(', ') || 'nothing'
    const role = isDefaultPrefix(prefix) ? ' and the role exit-node' : ''
    throw new ControlError(
      403,
      `the certificate of ${name} does not allow ${prefix} (allowed: ${allowed}; an admin grants prefixes${role} in the registry)`,
    )
  }

  #preference(use: string): ExitPreference {
    if (use === 'off' || use === 'auto') return { kind: use }
    const { device, name } = this.#find(use).certificate
    if (!this.#offered().some(({ deviceId }) => deviceId === device)) {
      const names = this.#offered().map((each) => each.name)
      throw new ControlError(
        409,
        `${name} is no exit node (${names.length === 0 ? 'nobody is' : `exits: ${names.join(', ')}`})`,
      )
    }
    return { kind: 'device', device }
  }

  /** One organization of a host has the exit. */
  #requireExit({ kind }: ExitPreference): void {
    const share = this.#parts.daemon.options.neighbours?.current
    if (kind === 'off' || share?.exitOf === undefined) return
    const { exitOf, names } = share
    throw new ControlError(
      409,
      `packets leave this host by an exit of ${names[exitOf] ?? exitOf} (end that first: nexctl --organization ${exitOf} exit-node off)`,
    )
  }

  #exitReason(state: ExitNodesReport['state']): string {
    const { exit, watch, daemon } = this.#parts
    if (state === 'failed')
      return `this host could not be set up, packets may leave beside the exit: ${exit.failure}`
    if (state === 'off') return 'packets leave as if there were no exit'
    if (state === 'closed')
      return 'no exit is usable: nothing leaves this host but to its organization'
    const families = [...exit.families(daemon.plan)].map((family) => `IPv${family}`).join(' and ')
    return `${watch.choice(parsePrefix('0.0.0.0/0'))?.reason ?? 'first by rank'}; carries ${families}`
  }

  #offered(): ExitNodesReport['exits'] {
    const { watch, daemon } = this.#parts
    const found = new Map<DeviceId, ExitNodesReport['exits'][number]>()
    for (const [prefix, claims] of this.#side.view().claims) {
      if (!isDefaultPrefix(prefix)) continue
      for (const { device, envelope } of claims) {
        if (device === daemon.device) continue
        const { isUp, roundTripMs } = watch.reach(device)
        const families = [...(found.get(device)?.families ?? []), `IPv${addressFamily(prefix)}`]
        found.set(device, {
          ...{ name: this.#nameOf(device), deviceId: device, families },
          health: isUp ? 'up' : 'down',
          state: envelope.body.state === 'draining' ? 'draining' : 'active',
          ...(roundTripMs === undefined ? {} : { roundTripMs }),
        })
      }
    }
    return [...found.values()]
  }

  #find(peer: string): Member {
    for (const [device, member] of this.#parts.daemon.plan.peers)
      if (peer === member.certificate.name || peer === device) return member
    throw new ControlError(404, `no peer "${peer}" (nexctl peers list shows them)`)
  }

  #nameOf(device: DeviceId): string {
    const { knowledge, clock } = this.#parts.daemon.options
    return memberOf(knowledge.state(), device, clock.now())?.certificate.name ?? device
  }
}

function requireHost(prefix: Prefix, does: string): void {
  if (isHostPrefix(prefix)) return
  throw new ControlError(
    400,
    `one ${does} a single address (/32, /128); several routers may advertise ${prefix} at once`,
  )
}

function parsed<T>(text: string, parse: (text: string) => T): T {
  try {
    return parse(text)
  } catch (error) {
    throw new ControlError(400, explain(error))
  }
}
