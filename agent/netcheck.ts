/** Netcheck: asks anew, then tells what is known of the network, for `nexctl netcheck`. */
import {
  type AddressFamily,
  addressFamily,
  formatEndpoint,
  type IpAddress,
} from '../protocol/address.ts'
import type { Clock } from '../protocol/clock.ts'
import type { DeviceId } from '../protocol/keys.ts'
import type {
  LifetimeStarted,
  NetcheckReport,
  NetworkFamilyReport,
} from './control/netcheck-report.ts'
import { ControlError } from './control/reports.ts'
import { hasDefaultRoute } from './host/default-route.ts'
import type { Commands } from './host/run.ts'
import { LIFETIME_LIMITS } from './path/nat/lifetime.ts'
import { FAMILIES } from './path/nat/tracker.ts'
import { verdictOf } from './path/nat/verdict.ts'
import type { NatView, PathNetcheck } from './path/nat/watch.ts'
import { voiceOf } from './path/observations.ts'
import { reachRegistry, reachTcp, tcpOf } from './reach.ts'

export interface NetcheckParts {
  readonly paths: PathNetcheck
  /** The host's own, outside the tunnel. */
  readonly addresses: readonly IpAddress[]
  readonly registry: string
  readonly rendezvous: readonly string[]
  /** What people call the device. */
  nameOf(device: DeviceId): string
  /** Moments at which peers made their newest statements, seconds. */
  readonly statements: readonly number[]
  readonly commands: Commands
  readonly clock: Clock
}

export async function netcheck(parts: NetcheckParts): Promise<NetcheckReport> {
  const { paths, registry, clock, statements } = parts
  const [web, rendezvous] = await Promise.all([
    reachRegistry(registry, clock),
    Promise.all(parts.rendezvous.map((address) => reachRendezvous(address, clock))),
    paths.refresh(),
  ])
  const { ahead, ...reached } = web
  const newest = Math.max(0, ...statements) - clock.now()
  return {
    families: await Promise.all(FAMILIES.map((family) => familyReport(family, parts))),
    servers: [
      ...stunReports(parts),
      ...rendezvous.flat(),
      { kind: 'registry', address: registry, protocol: 'tcp', ...reached },
    ],
    clock: {
      ...(ahead === undefined ? {} : { registryAhead: ahead }),
      ...(newest > 0 ? { peersAhead: newest } : {}),
    },
  }
}

/** Throws ControlError where no server can be measured with, or `longest` is beyond the limits. */
export function measureLifetime(paths: PathNetcheck, longest: number): LifetimeStarted {
  const { least, most } = LIFETIME_LIMITS
  if (!(longest >= least && longest <= most)) {
    throw new ControlError(400, `the longest wait is ${longest} s, want ${least} to ${most}`)
  }
  const started = FAMILIES.flatMap((family) => {
    const endsWithin = paths.measureLifetime(family, longest)
    return endsWithin === undefined ? [] : [{ family, endsWithin }]
  })
  if (started.length > 0) return { started }
  throw new ControlError(
    409,
    'no STUN server of a registry answers, and a lifetime is measured with one (see nexctl netcheck)',
  )
}

function stunReports({ paths, clock }: NetcheckParts): NetcheckReport['servers'] {
  const nowMs = clock.monotonicMs()
  return paths.servers().map(({ server, isMute, answeredMs, roundTripMs }) => {
    const reachable = answeredMs !== undefined && !isMute && nowMs - answeredMs < RECENT_MS
    const timed = reachable && roundTripMs !== undefined ? { roundTripMs } : {}
    return {
      ...{ kind: 'stun', address: formatEndpoint(server), protocol: 'udp', reachable },
      ...timed,
    }
  })
}

/** A server was just asked, unless that was done a second before. Milliseconds. */
const RECENT_MS = 5000

async function reachRendezvous(address: string, clock: Clock): Promise<NetcheckReport['servers']> {
  const where = tcpOf(address)
  if (where === undefined) return []
  return [{ kind: 'rendezvous', address, protocol: 'tcp', ...(await reachTcp(where, clock)) }]
}

async function familyReport(
  family: AddressFamily,
  parts: NetcheckParts,
): Promise<NetworkFamilyReport> {
  const view = parts.paths.view(family)
  const { report, observations, mapped } = view
  const addresses = parts.addresses.filter((each) => addressFamily(each) === family)
  const gateway = await hasDefaultRoute(parts.commands, family)
  const nowMs = parts.clock.monotonicMs()
  const { mapping, filtering, hairpinning, portPreserved, udp } = report
  return {
    ...{ family, addresses, gateway, udp, mapping, mappingProved: view.isMappingProved },
    ...{ filtering, hairpinning, portPreserved },
    ...(mapped === undefined ? {} : { mapped: formatEndpoint(mapped) }),
    observations: observations.map((one) => ({
      observer: formatEndpoint(one.observer),
      by: one.device === undefined ? 'STUN server' : parts.nameOf(one.device),
      mapped: formatEndpoint(one.mapped),
      secondsAgo: Math.round((nowMs - one.seenMs) / 1000),
    })),
    ...lifetimeReport(view, nowMs),
    verdict: verdictOf({
      report,
      hasAddress: addresses.length > 0,
      hasGateway: gateway,
      voices: new Set(observations.map(voiceOf)).size,
    }),
  }
}

function lifetimeReport(
  { lifetime, progress }: NatView,
  nowMs: number,
): Pick<NetworkFamilyReport, 'lifetime'> {
  const measured = lifetime && {
    atLeast: Math.floor(lifetime.atLeast),
    ...(lifetime.lessThan === undefined ? {} : { lessThan: Math.ceil(lifetime.lessThan) }),
    secondsAgo: Math.round((nowMs - lifetime.atMs) / 1000),
    server: formatEndpoint(lifetime.server),
  }
  if (progress === undefined) {
    return measured === undefined ? {} : { lifetime: { state: 'measured', ...measured } }
  }
  if (progress.kind === 'failed')
    return { lifetime: { state: 'failed', reason: progress.reason, ...measured } }
  const endsWithin = Math.ceil(progress.atMost - (nowMs - progress.sinceMs) / 1000)
  return { lifetime: { state: 'running', endsWithin, ...measured } }
}
