/** Machine: when a gateway is asked for a mapping, and what is had, as a pure function of what happened.
 *  Times are milliseconds of the monotonic clock. */

import type { IpAddress } from '../../../protocol/address.ts'
import { formatEndpoint, sameEndpoint } from '../../../protocol/address.ts'
import { unreachable } from '../../../protocol/errors.ts'
import type { LogLevel } from '../../../protocol/log.ts'
import type { Seconds } from '../../../protocol/time.ts'
import type { Gateway } from '../../host/gateway.ts'
import { isStateLost } from './epoch.ts'
import { isOfInternet } from './internet.ts'
import type { Failure, MappingProtocol, PortMapping } from './mapping.ts'
import { explainFailures, type Round } from './round.ts'

/** Between two rounds or renewals, whatever happens: a network may change every second. */
export const SPACING_MS = 5000
/** Between rounds without an answer, doubling: a packet for each protocol then. */
export const [FIRST_BACKOFF_MS, LAST_BACKOFF_MS] = [60_000, 30 * 60_000]
/** The longest time to a renewal: how long a gateway that lost its state is not found out. */
const LONGEST_RENEWAL_MS = 600_000
/** A gateway that restarted hears from all of its hosts: they come within this time (RFC 6887 §14.1.3
 *  has them wait at random, up to 5 s). */
export const RECOVERY_SPREAD_MS = 1000

const DOUBLE_NAT =
  'not an address of the internet: another NAT is before the gateway, which has to map the port, too'

export interface HeldMapping {
  readonly mapping: PortMapping
  readonly grantedMs: number
  readonly expiresMs: number
}

export interface MapperState {
  readonly gateway: Gateway | undefined
  /** There is a default route at present. */
  readonly isPresent: boolean
  readonly held: HeldMapping | undefined
  /** Why there is none; for people. */
  readonly reason: string
  /** Rounds that failed, one after another. */
  readonly failures: number
  /** The last ask; -Infinity: never. */
  readonly askedMs: number
  /** An ask is under way. */
  readonly isAsking: boolean
  /** The next; Infinity: none planned. */
  readonly dueMs: number
  /** The last refusal that was told, so that each is told once. */
  readonly told: string
}

export type MapperInput =
  | { readonly kind: 'tick' }
  /** The routing table was read: on a change of the network. */
  | { readonly kind: 'gateway'; readonly gateway: Gateway | undefined }
  | { readonly kind: 'asked'; readonly round: Round }
  /** The gateway said unasked how old its state is, and maybe its external address.
   *  `spread` is random, 0 to 1. */
  | {
      readonly kind: 'announced'
      readonly protocol: MappingProtocol
      readonly epoch: Seconds
      readonly address?: IpAddress
      readonly spread: number
    }

export type MapperAction =
  /** All protocols; `isThorough` repeats what is lost. */
  | { readonly kind: 'round'; readonly gateway: Gateway; readonly isThorough: boolean }
  | { readonly kind: 'renew'; readonly gateway: Gateway; readonly mapping: PortMapping }
  | ({ readonly kind: 'log'; readonly level: LogLevel; readonly event: string } & {
      readonly fields: Readonly<Record<string, unknown>>
    })

export interface Step {
  readonly state: MapperState
  readonly actions: readonly MapperAction[]
}

export const INITIAL: MapperState = {
  gateway: undefined,
  isPresent: false,
  held: undefined,
  reason: 'not asked yet',
  failures: 0,
  askedMs: -Infinity,
  isAsking: false,
  dueMs: Infinity,
  told: '',
}

export function step(state: MapperState, input: MapperInput, nowMs: number): Step {
  const after = absorbed(state, input, nowMs)
  const expired = expire(after.state, nowMs)
  const asked = ask(expired.state, nowMs)
  return { state: asked.state, actions: [...after.actions, ...expired.actions, ...asked.actions] }
}

function absorbed(state: MapperState, input: MapperInput, nowMs: number): Step {
  switch (input.kind) {
    case 'tick':
      return { state, actions: [] }
    case 'gateway':
      return withGateway(state, input.gateway, nowMs)
    case 'asked':
      return withRound({ ...state, isAsking: false }, input.round, nowMs)
    case 'announced':
      return { state: announced(state, input, nowMs), actions: [] }
    default:
      return unreachable(input)
  }
}

/** Another gateway, or another address towards it, is asked at once; what the old one maps leads nowhere. */
function withGateway(state: MapperState, gateway: Gateway | undefined, nowMs: number): Step {
  // A route often comes back in a moment, and what is mapped with it.
  if (gateway === undefined) {
    const reason = state.held === undefined ? 'no default route' : state.reason
    return { state: { ...state, isPresent: false, reason, dueMs: Infinity }, actions: [] }
  }
  if (!sameGateway(state.gateway, gateway)) {
    const actions = state.held === undefined ? [] : [lost(state.held, 'the network changed')]
    const { askedMs } = state
    return { state: { ...INITIAL, gateway, isPresent: true, askedMs, dueMs: nowMs }, actions }
  }
  // The cable was out, or the router was off: the mapping may be gone. Who never answered is asked seldom.
  const soonMs = state.failures === 0 ? nowMs : Math.max(nowMs, state.askedMs + FIRST_BACKOFF_MS)
  return { state: { ...state, isPresent: true, dueMs: Math.min(state.dueMs, soonMs) }, actions: [] }
}

export function sameGateway(a: Gateway | undefined, b: Gateway | undefined): boolean {
  return (
    a?.address === b?.address && a?.interfaceName === b?.interfaceName && a?.source === b?.source
  )
}

function withRound(state: MapperState, round: Round, nowMs: number): Step {
  return round.kind === 'mapped'
    ? mapped(state, round.mapping, nowMs)
    : unmapped(state, round.failures, nowMs)
}

function mapped(state: MapperState, mapping: PortMapping, nowMs: number): Step {
  const lifetimeMs = mapping.lifetime * 1000
  const held = { mapping, grantedMs: nowMs, expiresMs: nowMs + lifetimeMs }
  const dueMs = nowMs + Math.min(lifetimeMs / 2, LONGEST_RENEWAL_MS)
  const before = state.held?.mapping
  const isNews =
    before?.protocol !== mapping.protocol || !sameEndpoint(before.external, mapping.external)
  // Whether it is worth telling to peers depends on what they see us as (usable.ts).
  const reason = isDoubleNat(state, mapping) ? DOUBLE_NAT : ''
  const log: MapperAction = {
    kind: 'log',
    level: reason === '' ? 'info' : 'warn',
    event: 'port-mapping.mapped',
    fields: {
      protocol: mapping.protocol,
      external: formatEndpoint(mapping.external),
      lifetimeSeconds: mapping.lifetime,
      ...(reason === '' ? {} : { hint: reason }),
    },
  }
  return {
    state: { ...state, held, dueMs, reason, failures: 0, told: '' },
    actions: isNews ? [log] : [],
  }
}

/** A pinhole's external address is the host's own, whatever its kind. */
function isDoubleNat({ gateway }: MapperState, { external }: PortMapping): boolean {
  return !isOfInternet(external.address) && external.address !== gateway?.source
}

/** A renewal that nobody answers is tried again, at half of what is left, by all protocols; one that is
 *  refused, by the protocol that has the mapping, ends it. */
function unmapped(state: MapperState, failures: readonly Failure[], nowMs: number): Step {
  const reason = explainFailures(failures)
  const { held } = state
  const isRefused = failures.some(
    ({ kind, protocol }) =>
      kind === 'refused' && (held === undefined || protocol === held.mapping.protocol),
  )
  if (held !== undefined && held.expiresMs > nowMs && !isRefused) {
    const dueMs = nowMs + Math.max((held.expiresMs - nowMs) / 2, SPACING_MS)
    return { state: { ...state, dueMs, reason, failures: state.failures + 1 }, actions: [] }
  }
  if (held !== undefined) {
    return {
      state: { ...state, held: undefined, reason, failures: 0, dueMs: nowMs },
      actions: [lost(held, reason)],
    }
  }
  const backoffMs = Math.min(FIRST_BACKOFF_MS * 2 ** state.failures, LAST_BACKOFF_MS)
  const next = { ...state, reason, failures: state.failures + 1, dueMs: nowMs + backoffMs }
  if (reason === state.told) return { state: next, actions: [] }
  const event = isRefused ? 'port-mapping.refused' : 'port-mapping.unavailable'
  const log: MapperAction = {
    kind: 'log',
    level: isRefused ? 'warn' : 'info',
    event,
    fields: { gateway: state.gateway?.address, reason },
  }
  return { state: { ...next, told: reason }, actions: [log] }
}

function announced(
  state: MapperState,
  { protocol, epoch, address, spread }: MapperInput & { readonly kind: 'announced' },
  nowMs: number,
): MapperState {
  if (!state.isPresent) return state
  const soonMs = Math.min(state.dueMs, nowMs + spread * RECOVERY_SPREAD_MS)
  const { held } = state
  // It is there, or there again: what it did not answer before it may answer now.
  if (held === undefined) return { ...state, dueMs: soonMs }
  const { mapping, grantedMs } = held
  const isMoved = address !== undefined && address !== mapping.external.address
  const isLost =
    mapping.epoch !== undefined &&
    isStateLost(
      protocol,
      { seconds: mapping.epoch, heardMs: grantedMs },
      { seconds: epoch, heardMs: nowMs },
    )
  return isMoved || isLost ? { ...state, dueMs: soonMs } : state
}

function expire(state: MapperState, nowMs: number): Step {
  const { held } = state
  if (held === undefined || held.expiresMs > nowMs) return { state, actions: [] }
  const reason = state.reason || 'not renewed'
  return { state: { ...state, held: undefined }, actions: [lost(held, reason)] }
}

function ask(state: MapperState, nowMs: number): Step {
  const { gateway, held, failures } = state
  if (gateway === undefined || askMs(state) > nowMs) return { state, actions: [] }
  const action: MapperAction =
    held !== undefined && failures === 0
      ? { kind: 'renew', gateway, mapping: held.mapping }
      : { kind: 'round', gateway, isThorough: failures === 0 }
  const asking = { ...state, isAsking: true, askedMs: nowMs, dueMs: Infinity }
  return { state: asking, actions: [action] }
}

function askMs({ isAsking, dueMs, askedMs }: MapperState): number {
  return isAsking ? Infinity : Math.max(dueMs, askedMs + SPACING_MS)
}

/** When `step` has something to do; Infinity: not before there is input. */
export function nextMs(state: MapperState): number {
  return Math.min(askMs(state), state.held?.expiresMs ?? Infinity)
}

function lost({ mapping }: HeldMapping, reason: string): MapperAction {
  const { protocol, external } = mapping
  return {
    kind: 'log',
    level: 'warn',
    event: 'port-mapping.lost',
    fields: { protocol, external: formatEndpoint(external), reason },
  }
}
