/** Policy enforcement: no packet before the firewall holds to the policy, and none while it cannot: fail closed. */
import type { RandomBytes } from '../crypto/random.ts'
import type { Prefix } from '../protocol/address.ts'
import type { Clock } from '../protocol/clock.ts'
import type { DeviceId } from '../protocol/keys.ts'
import type { Log } from '../protocol/log.ts'
import { tellsApart } from '../protocol/policy-decision.ts'
import type { PolicyRules } from '../protocol/policy-rules.ts'
import type { PolicyStatus } from '../protocol/policy-status.ts'
import type { Seconds } from '../protocol/time.ts'
import { explain } from './errors.ts'
import type { Firewall } from './firewall/firewall.ts'
import { holdersOf, wantedFirewall } from './firewall/wanted.ts'
import type { Plan } from './plan.ts'
import type { TunnelPeer } from './tunnel/backend.ts'

/** Milliseconds for each member by which telling the others is spread: of 1,000 that change at once a member hears
 *  ten a second. */
const SPREAD_MS = 100

export interface EnforcementOptions {
  readonly firewall: Firewall
  /** Where the mesh listens. */
  readonly multiaddrs: () => readonly string[]
  /** The plan is to be prepared again. */
  readonly onLost: () => void
  readonly clock: Pick<Clock, 'now' | 'monotonicMs'>
  readonly random: RandomBytes
  readonly log: Log
}

/** What the tunnel may be configured to, and what is to follow that. */
export interface Prepared {
  readonly plan: Plan
  done(): Promise<void>
}

export interface EnforcementStatus extends PolicyStatus {
  /** Why nothing passes. */
  readonly reason?: string
}

export class PolicyEnforcement {
  readonly #options: EnforcementOptions
  /** What is enforced; undefined: nothing for certain. */
  #policy: PolicyRules | undefined
  #key = ''
  #holders: ReadonlyMap<Prefix, DeviceId> = new Map()
  /** Aliases that the firewall gives their source. */
  #translated: ReadonlySet<Prefix> = new Set()
  #status: EnforcementStatus
  #said: PolicyStatus | undefined
  #tellAtMs = 0

  constructor(options: EnforcementOptions) {
    this.#options = options
    this.#status = { revision: 0, state: 'unknown', since: options.clock.now() }
    options.firewall.onLost = (reason) => {
      this.#policy = undefined
      this.#close(this.#status.revision, reason)
      options.onLost()
    }
  }

  status(): EnforcementStatus {
    return this.#status
  }

  /** False where it has closed every peer of the tunnel. */
  get isOpen(): boolean {
    return this.#status.state !== 'closed' && this.#status.state !== 'not-understood'
  }

  /** For the endpoint update: a failure at once, a success after a while that differs from member to member.
   *  Undefined where there is nothing to tell: the policy is of version 0. */
  told(): PolicyStatus | undefined {
    const { revision, state, since } = this.#status
    const isSaid = this.#said?.revision === revision && this.#said.state === state
    if (!isSaid && this.#options.clock.monotonicMs() >= this.#tellAtMs) {
      this.#said = revision === 0 && this.isOpen ? undefined : { revision, state, since }
    }
    return this.#said
  }

  /** Before the tunnel is configured to the plan. Where the policy cannot be enforced the plan comes back with
   *  every peer of the tunnel closed; the mesh goes on. */
  async prepare(plan: Plan): Promise<Prepared> {
    const { policy } = plan
    if (policy === undefined) {
      this.#become({ revision: 0, state: 'not-understood' }, plan.peers.size)
      return { plan: withoutTraffic(plan), done: nothing }
    }
    const early = this.#withoutNewAliases(plan)
    if (policy.revision === 0) {
      // An alias that ends could be anybody's whom WireGuard lets send from there.
      if (this.#translated.size > early.aliases.arriving.length) await this.#guard(early)
      // Nobody waits for the rest.
      return { plan, done: async () => void this.#guard(plan) }
    }
    const moved = this.#moved(plan)
    try {
      await this.#enforce(early, moved)
    } catch (error) {
      this.#close(policy.revision, explain(error))
      return { plan: withoutTraffic(plan), done: nothing }
    }
    this.#become({ revision: policy.revision, state: 'enforced' }, plan.peers.size)
    const isWhole = moved.size === 0 && early === plan
    return { plan, done: isWhole ? nothing : () => this.#enforce(plan) }
  }

  /** Version 0: all that members send to this device passes, and what it forwards goes only where it is to. */
  async #guard(plan: Plan): Promise<void> {
    try {
      await this.#enforce(plan)
      this.#become({ revision: 0, state: 'enforced' }, plan.peers.size)
    } catch (error) {
      const reason = explain(error)
      if (this.#status.reason === reason) return
      this.#become({ revision: 0, state: 'unknown', reason }, plan.peers.size)
      this.#options.log('warn', 'policy.not-guarded', {
        reason,
        hint: 'members may send through this host to networks that it does not advertise, where it forwards',
      })
    }
  }

  /** Nothing where it is so already. */
  async #enforce(plan: Plan, without: ReadonlySet<Prefix> = new Set()): Promise<void> {
    const wanted = wantedFirewall(plan, this.#options.multiaddrs(), without)
    if (wanted === undefined) return
    const { policy, ...rest } = wanted
    const key = JSON.stringify(rest)
    // The policy of a manifest is one object, whatever the plan.
    if (policy === this.#policy && key === this.#key) return
    this.#policy = undefined
    await this.#options.firewall.enforce(wanted)
    this.#policy = policy
    this.#key = key
    this.#holders = holdersOf(plan)
    this.#translated = new Set(plan.aliases.arriving.map(({ alias }) => alias))
  }

  /** Before WireGuard takes an alias from its device alone, it is none. */
  #withoutNewAliases(plan: Plan): Plan {
    const { arriving } = plan.aliases
    const known = arriving.filter(({ alias }) => this.#translated.has(alias))
    if (known.length === arriving.length) return plan
    return { ...plan, aliases: { ...plan.aliases, arriving: known } }
  }

  /** Prefixes that go from one device to another: until the tunnel has changed they are nobody's, so that neither has
   *  the other's rights, where those differ. */
  #moved(plan: Plan): ReadonlySet<Prefix> {
    const moved = [...holdersOf(plan)].filter(([prefix, device]) => {
      const before = this.#holders.get(prefix)
      return before !== undefined && before !== device && haveOtherRights(plan, before, device)
    })
    return new Set(moved.map(([prefix]) => prefix))
  }

  #close(revision: number, reason: string): void {
    const isNew = this.#status.state !== 'closed' || this.#status.reason !== reason
    this.#become({ revision, state: 'closed', reason }, 0)
    if (!isNew) return
    this.#options.log('error', 'policy.closed', {
      revision,
      reason,
      hint: 'nothing passes through the tunnel until the policy can be applied; it is tried again every few seconds',
    })
  }

  #become(next: Omit<EnforcementStatus, 'since'>, members: number): void {
    const { revision, state } = this.#status
    const isSame = revision === next.revision && state === next.state
    if (isSame && this.#status.reason === next.reason) return
    const { clock, random, log } = this.#options
    const since: Seconds = isSame ? this.#status.since : clock.now()
    this.#status = { ...next, since }
    if (isSame) return
    const [share = 0] = random(1)
    const delayMs = next.state === 'enforced' ? (members * SPREAD_MS * share) / 256 : 0
    this.#tellAtMs = clock.monotonicMs() + delayMs
    if (next.state === 'enforced' && (next.revision > 0 || state === 'closed'))
      log('info', 'policy.enforced', { revision: next.revision })
  }
}

function haveOtherRights({ own, policy, peers }: Plan, one: DeviceId, other: DeviceId): boolean {
  const [before, now] = [peers.get(one)?.certificate, peers.get(other)?.certificate]
  if (own === undefined || policy === undefined || before === undefined || now === undefined)
    return true
  return tellsApart(policy, own.certificate, before, now)
}

function withoutTraffic(plan: Plan): Plan {
  const peers = [...plan.tunnel.peers].map(
    ([key, { lateIps: _, ...peer }]): [string, TunnelPeer] => [key, { ...peer, isClosed: true }],
  )
  return { ...plan, tunnel: { ...plan.tunnel, peers: new Map(peers) } }
}

async function nothing(): Promise<void> {}
