/** What `nexctl route`, `nexctl router` and `nexctl exit-node` ask and are answered. */
import { z } from 'zod'

const CLAIM = z.object({
  name: z.string(),
  deviceId: z.string(),
  /** `standby` takes a host prefix over where its holder is not reached. */
  state: z.enum(['active', 'draining', 'standby']),
  /** Orders routers of a shorter prefix: the lowest first. */
  metric: z.number(),
  /** Orders claims on a host prefix: the highest holds it. */
  epoch: z.number(),
  /** Orders standbys: the highest first. */
  priority: z.number().optional(),
  /** As measured here; `self` is this device. */
  health: z.enum(['up', 'down', 'self']),
  roundTripMs: z.number().optional(),
  /** Does the target behind it answer? Absent: it is not asked. */
  target: z.enum(['up', 'down']).optional(),
})

export const ROUTE = z.object({
  prefix: z.string(),
  /** Who carries it for this device; empty: nobody. */
  holder: z.string(),
  deviceId: z.string(),
  since: z.string(),
  epoch: z.number(),
  /** Names of those who could carry it, too, best first. */
  others: z.array(z.string()),
  /** Why that holder, for people. */
  why: z.string(),
  /** Times the router was changed since nexd started. */
  switches: z.number(),
  claims: z.array(CLAIM),
})
export type RouteReport = z.output<typeof ROUTE>
export const ROUTES = z.array(ROUTE)

const PREFIX_TEXT = z.string().min(1).max(64)
const PEER = z.string().min(1).max(128)

export const ROUTE_CHANGE = z.discriminatedUnion('action', [
  z.strictObject({
    action: z.literal('advertise'),
    prefix: PREFIX_TEXT,
    metric: z.int().min(0).max(65_536).optional(),
    probe: z.string().min(1).max(128).optional(),
    /** Nothing under way may be lost. */
    handOver: z.boolean().optional(),
  }),
  z.strictObject({
    action: z.literal('stand-by'),
    prefix: PREFIX_TEXT,
    priority: z.int().min(1).max(254),
  }),
  z.strictObject({ action: z.literal('move'), prefix: PREFIX_TEXT, to: PEER }),
  z.strictObject({ action: z.literal('withdraw'), prefix: PREFIX_TEXT }),
])
export type RouteChange = z.output<typeof ROUTE_CHANGE>

export const ROUTER_CHANGE = z.strictObject({
  action: z.enum(['drain', 'resume']),
  /** Seconds that a drain may take. */
  within: z.int().min(1).max(60).optional(),
})
export type RouterChange = z.output<typeof ROUTER_CHANGE>

export const ROUTER = z.object({
  /** What this device routes for others, and how. */
  prefixes: z.array(
    z.object({
      prefix: z.string(),
      state: z.enum(['active', 'draining']),
      /** It drained by itself: what is wrong with the link that it lies behind. */
      why: z.string().optional(),
    }),
  ),
  forwards: z.boolean(),
  nat: z.boolean(),
  /** Others' rules that may drop what is forwarded, and what to do about it. */
  blocks: z.array(z.object({ chain: z.string(), by: z.string(), hint: z.string() })),
  /** Of a drain: does nothing pass any more? */
  isQuiet: z.boolean().optional(),
})
export type RouterReport = z.output<typeof ROUTER>

export const EXIT_NODES = z.object({
  preference: z.string(),
  /** Name of the one in use; empty: none. */
  inUse: z.string(),
  allowLocal: z.boolean(),
  /** `closed`: an exit is wanted and none answers, so nothing leaves this host but to its organization. `failed`: this
   *  host's routing is not as wanted; it is tried again every few seconds. */
  state: z.enum(['off', 'on', 'closed', 'failed']),
  why: z.string(),
  exits: z.array(
    z.object({
      name: z.string(),
      deviceId: z.string(),
      families: z.array(z.string()),
      health: z.enum(['up', 'down']),
      state: z.enum(['active', 'draining']),
      roundTripMs: z.number().optional(),
    }),
  ),
})
export type ExitNodesReport = z.output<typeof EXIT_NODES>

export const EXIT_CHANGE = z.strictObject({
  /** `off`, `auto`, or a device's name or id. */
  use: PEER,
  allowLocal: z.boolean().optional(),
})
export type ExitChange = z.output<typeof EXIT_CHANGE>

/** What the daemon lets the local API do with routes. Each throws ControlError. */
export interface RouteControls {
  routes(): readonly RouteReport[]
  /** False: nothing was to change. */
  change(change: RouteChange): Promise<boolean>
  router(): RouterReport
  changeRouter(change: RouterChange): Promise<RouterReport>
  exits(): ExitNodesReport
  changeExit(change: ExitChange): Promise<ExitNodesReport>
}
