/** Route world: an address that moves among agents while networks part and devices die. Each agent judges by the real
 *  rules (apply, follow, standby, next claim, reach health); messages are delayed, lost between parts, and made up for
 *  when parts meet again, as sync does. One seed, one run. */
import { type Followed, follow, HAND_OVER_MS } from '../../agent/routes/follow.ts'
import { nextClaim, type RouteWish } from '../../agent/routes/next-claim.ts'
import { answered, overdue, type ReachHealth, unasked } from '../../agent/routes/reach-health.ts'
import { takesOver, watchedBy } from '../../agent/routes/standby.ts'
import { type Envelope, sealEnvelope } from '../../protocol/envelope.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import { encodeRouteAdvertisement } from '../../protocol/route-advertisement.ts'
import { nextEpoch, routeClaims, routeStandbys } from '../../protocol/route-claims.ts'
import { apply, envelopesOf, type OrganizationState } from '../../protocol/state.ts'
import { seconds } from '../../protocol/time.ts'
import {
  MOVING_PREFIX,
  openOnce,
  type SimulatedDevice,
  type SimulatedOrganization,
} from './agents.ts'
import type { VirtualClock } from './virtual-clock.ts'

export interface RouteRunOptions {
  readonly organization: SimulatedOrganization
  readonly clock: VirtualClock
  readonly random: () => number
  /** Of the devices, how many stand by; the first holds the address at the beginning. */
  readonly standbys: number
  /** What happens before everything heals. */
  readonly events: number
}

export interface RouteRunResult {
  /** Names of the devices that agents follow at the end, without repetition. */
  readonly holders: readonly DeviceId[]
  /** Devices that answer for the address at the end. */
  readonly serving: readonly DeviceId[]
  /** Milliseconds from healing until all agree for good. */
  readonly agreedMs: number
  readonly claims: number
}

/** Milliseconds: between looks; from one agent to another; from healing to the end. */
const [LOOK_MS, DELAY_MS, CALM_MS] = [250, [10, 80] as const, 15_000]

interface Agent {
  readonly device: SimulatedDevice
  state: OrganizationState
  followed: Followed | undefined
  health: Map<DeviceId, ReachHealth>
  part: number
  isAlive: boolean
  triedMs: number
  sequence: number
}

export async function runRoutes(options: RouteRunOptions): Promise<RouteRunResult> {
  const world = new RouteWorld(options)
  world.begin()
  await options.clock.advance(2000)
  for (let event = 0; event < options.events; event += 1) {
    world.disturb()
    await options.clock.advance(options.random() * 6000)
  }
  world.heal()
  const healedMs = options.clock.monotonicMs()
  let agreedMs = 0
  while (options.clock.monotonicMs() < healedMs + CALM_MS) {
    await options.clock.advance(LOOK_MS)
    if (!world.agrees()) agreedMs = options.clock.monotonicMs() - healedMs
  }
  return { ...world.outcome(), agreedMs }
}

class RouteWorld {
  readonly #options: RouteRunOptions
  readonly #agents: readonly Agent[]
  readonly #open = openOnce()
  #claims = 0

  constructor(options: RouteRunOptions) {
    this.#options = options
    this.#agents = options.organization.devices.map((device) => ({
      device,
      state: options.organization.state,
      followed: undefined,
      health: new Map(),
      part: 0,
      isAlive: true,
      triedMs: -Infinity,
      sequence: 0,
    }))
  }

  begin(): void {
    const { standbys, clock } = this.#options
    for (const [index, agent] of this.#agents.entries()) {
      if (index === 0) this.#say(agent, { kind: 'advertise' })
      if (index <= standbys) this.#say(agent, { kind: 'stand-by', priority: 1 + index })
    }
    clock.every(LOOK_MS, () => {
      for (const agent of this.#agents) if (agent.isAlive) this.#look(agent)
    })
  }

  /** A partition, a death, a return, a move: plain, by hand-over, or by a successor. */
  disturb(): void {
    const { random } = this.#options
    const agent = this.#agents[Math.floor(random() * this.#agents.length)]
    if (agent === undefined) return
    const kind = Math.floor(random() * 6)
    if (kind === 0) for (const each of this.#agents) each.part = Math.floor(random() * 2)
    else if (kind === 1) for (const each of this.#agents) each.part = 0
    else if (kind === 2) agent.isAlive = false
    else if (kind === 3) for (const each of this.#agents) this.#revive(each)
    else if (agent.isAlive)
      this.#say(agent, {
        kind: 'advertise',
        ...(kind === 4 ? { handOverMs: HAND_OVER_MS } : {}),
      })
    this.#syncAll()
  }

  heal(): void {
    for (const agent of this.#agents) {
      agent.part = 0
      this.#revive(agent)
    }
    this.#syncAll()
  }

  agrees(): boolean {
    const { holders, serving } = this.outcome()
    return holders.length === 1 && serving.length === 1 && holders[0] === serving[0]
  }

  outcome(): Pick<RouteRunResult, 'holders' | 'serving' | 'claims'> {
    const nowMs = this.#options.clock.monotonicMs()
    const followed = this.#agents.map((agent) => agent.followed?.device)
    const serving = this.#agents.filter(
      ({ device, followed: own }) =>
        own !== undefined && (own.device === device.id || own.servedUntilMs > nowMs),
    )
    return {
      holders: [...new Set(followed.filter((device) => device !== undefined))],
      serving: serving.map(({ device }) => device.id),
      claims: this.#claims,
    }
  }

  #revive(agent: Agent): void {
    if (agent.isAlive) return
    agent.isAlive = true
    agent.followed = undefined
    agent.health = new Map()
  }

  #reaches(a: Agent, b: Agent): boolean {
    return a.isAlive && b.isAlive && a.part === b.part
  }

  #look(agent: Agent): void {
    const { clock } = this.#options
    const [now, nowMs] = [clock.now(), clock.monotonicMs()]
    const self = agent.device.id
    const claims = routeClaims(agent.state, now).get(MOVING_PREFIX) ?? []
    agent.followed = follow(agent.followed, claims, self, nowMs)
    const standbys = routeStandbys(agent.state, now).get(MOVING_PREFIX) ?? []
    const holder = claims[0]?.device
    for (const other of watchedBy({ self, holder, standbys })) this.#ask(agent, other, nowMs)
    const isUp = (device: DeviceId): boolean => agent.health.get(device)?.isUp ?? true
    const reachesAnybody = this.#agents.some(
      (other) => other !== agent && this.#reaches(agent, other),
    )
    const view = { self, holder, standbys, isUp, reachesAnybody }
    if (nowMs - agent.triedMs < 3000 || !takesOver(view)) return
    agent.triedMs = nowMs
    this.#say(agent, { kind: 'advertise' })
  }

  #ask(agent: Agent, other: DeviceId, nowMs: number): void {
    const before = agent.health.get(other) ?? unasked(nowMs)
    const asked = this.#agents.find(({ device }) => device.id === other)
    const isReached = asked !== undefined && this.#reaches(agent, asked)
    agent.health.set(other, isReached ? answered(before, 40, nowMs) : overdue(before, nowMs))
  }

  #say(agent: Agent, wish: RouteWish): void {
    const { clock, organization } = this.#options
    const now = clock.now()
    const known = agent.state.routes.get(`${agent.device.id} ${MOVING_PREFIX}`)?.body
    const isHolder =
      routeClaims(agent.state, now).get(MOVING_PREFIX)?.[0]?.device === agent.device.id
    const epoch = nextEpoch(agent.state, MOVING_PREFIX, now)
    const claim = nextClaim(MOVING_PREFIX, known, wish, { isHolder, epoch })
    if (claim === undefined) return
    agent.sequence += 1
    this.#claims += 1
    const said = { ...claim, sequence: agent.sequence, issuedAt: now }
    const claims = encodeRouteAdvertisement({ ...said, notAfter: seconds(now + 86_400) })
    const bytes = sealEnvelope('route-advertisement', organization.id, claims, agent.device.key)
    const envelope = this.#open(bytes)
    this.#hear(agent, envelope)
    for (const other of this.#agents) this.#send(agent, other, envelope)
  }

  #send(from: Agent, to: Agent, envelope: Envelope): void {
    if (from === to || !this.#reaches(from, to)) return
    const { clock, random } = this.#options
    const [least, most] = DELAY_MS
    clock.after(least + random() * (most - least), () => {
      if (this.#reaches(from, to)) this.#hear(to, envelope)
    })
  }

  #hear(agent: Agent, envelope: Envelope): void {
    agent.state = apply(agent.state, envelope, this.#options.clock.now()).state
  }

  /** Who can talk brings each other up to date. */
  #syncAll(): void {
    for (const from of this.#agents)
      for (const to of this.#agents) {
        const missing = envelopesOf(from.state).filter(({ id }) => !has(to.state, id))
        for (const envelope of missing) this.#send(from, to, envelope)
      }
  }
}

function has(state: OrganizationState, id: string): boolean {
  return [...state.routes.values()].some((envelope) => envelope.id === id)
}
