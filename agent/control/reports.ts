/** What the local API answers: the words of `nexctl` and of its JSON. */
import { z } from 'zod'
import { POLICY_STATES } from '../../protocol/policy-status.ts'
import type { WhyReport } from '../why/report.ts'
import type { LockControls } from './lock-report.ts'
import { NAMES_STATUS, type NamesControls } from './names-report.ts'
import type { LifetimeStarted, NetcheckReport } from './netcheck-report.ts'
import type { OrganizationControls } from './organization-report.ts'
import type { PolicyControls } from './policy-report.ts'
import type { ProxyControls } from './proxy-report.ts'
import type { RouteControls } from './route-report.ts'

/** Checks pass a direct path at `endpoint`, WireGuard does not: another one is used until it is tried again. */
const BLOCKED = z.object({ endpoint: z.string(), retrySeconds: z.number() })

export const STATUS = z.object({
  /** `starting` until the tunnel is up; `not-member` when the certificate ended or was revoked. */
  state: z.enum(['starting', 'running', 'not-member']),
  /** Why it is not running, for people. */
  reason: z.string().optional(),
  version: z.string(),
  name: z.string(),
  deviceId: z.string(),
  organization: z.object({ id: z.string(), name: z.string() }),
  addresses: z.array(z.string()),
  interface: z.object({
    name: z.string(),
    backend: z.string(),
    listenPort: z.number(),
    mtu: z.number(),
  }),
  certificate: z.object({ notAfter: z.string() }).optional(),
  manifest: z.object({ sequence: z.number(), compromised: z.boolean() }).optional(),
  /** `closed`, `not-understood`: nothing passes. */
  policy: z.object({
    revision: z.number(),
    state: z.enum(POLICY_STATES),
    reason: z.string().optional(),
  }),
  natMapping: z.string(),
  candidates: z.array(z.string()),
  registry: z.object({ url: z.string(), reachable: z.boolean(), connected: z.boolean() }),
  mesh: z.object({ peerId: z.string(), connections: z.number(), multiaddrs: z.array(z.string()) }),
  /** `idle` ones are sought when the first packet is sent to them. */
  peers: z.object({ connected: z.number(), idle: z.number(), total: z.number() }),
  /** Peers whose direct path does not carry WireGuard. */
  blocked: z.array(BLOCKED.extend({ peer: z.string() })),
  /** Absent while nexd starts. */
  names: NAMES_STATUS.optional(),
})
export type StatusReport = z.output<typeof STATUS>

export const PEER = z.object({
  name: z.string(),
  deviceId: z.string(),
  addresses: z.array(z.string()),
  allowedIps: z.array(z.string()),
  path: z.enum(['direct', 'relay', 'connecting', 'idle', 'offline']),
  endpoint: z.string().optional(),
  /** Of a relayed peer: the relay's name, and what its datagrams go by. */
  relay: z.object({ name: z.string(), by: z.enum(['udp', 'tcp']) }).optional(),
  roundTripMs: z.number().optional(),
  blocked: BLOCKED.optional(),
  /** Bytes of the largest packet that its path carries in one piece. */
  mtu: z.number(),
  /** ISO 8601; absent: never. */
  latestHandshake: z.string().optional(),
  receivedBytes: z.number(),
  sentBytes: z.number(),
  meshConnected: z.boolean(),
})
export type PeerReport = z.output<typeof PEER>
export const PEERS = z.array(PEER)

export const PING = z.object({
  peer: z.string(),
  address: z.string(),
  path: z.string(),
  sent: z.number(),
  received: z.number(),
  /** Milliseconds; absent where nothing came back. */
  medianMs: z.number().optional(),
})
export type PingReport = z.output<typeof PING>

export const CHANGED = z.object({ changed: z.boolean() })

/** What the daemon lets the local API do. */
export interface Controls {
  netcheck(): Promise<NetcheckReport>
  /** Throws ControlError when there is no server to measure with. @param longest the longest wait, seconds */
  measureLifetime(longest: number): LifetimeStarted
  status(): Promise<StatusReport>
  peers(): Promise<readonly PeerReport[]>
  ping(peer: string, count: number): Promise<PingReport>
  /** Why the peer is reached as it is, or is not. Throws ControlError when there never was such a device. */
  why(peer: string): Promise<WhyReport>
  readonly names?: NamesControls | undefined
  readonly policy: PolicyControls
  /** Absent while nexd starts. */
  readonly routes?: RouteControls | undefined
  /** Absent where this nexd runs without a proxy. */
  readonly proxy?: ProxyControls | undefined
  readonly lock?: LockControls | undefined
  /** Absent where this nexd is itself one organization's among several of an agent. */
  readonly organizations?: OrganizationControls | undefined
}

/** A request of the local API that can't be met; the message is for the operator. */
export class ControlError extends Error {
  override readonly name = 'ControlError'
  readonly code = 'ERR_CONTROL'
  readonly status: number

  constructor(status: 400 | 403 | 404 | 409, message: string) {
    super(message)
    this.status = status
  }
}
