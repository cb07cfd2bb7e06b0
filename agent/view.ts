/** View: what the daemon knows, as the local API tells it; and what the local API may make it do. */
import { isIP } from 'node:net'
import { toHex } from '../crypto/bytes.ts'
import { formatEndpoint, prefixAddress } from '../protocol/address.ts'
import {
  currentManifest,
  deviceStanding,
  equivocation,
  type Member,
  memberOf,
} from '../protocol/belief.ts'
import type { Seconds } from '../protocol/time.ts'
import type { LockControls } from './control/lock-report.ts'
import type { NamesControls } from './control/names-report.ts'
import type { LifetimeStarted, NetcheckReport } from './control/netcheck-report.ts'
import type { OrganizationControls } from './control/organization-report.ts'
import type { ProxyControls } from './control/proxy-report.ts'
import {
  ControlError,
  type Controls,
  type PeerReport,
  type PingReport,
  type StatusReport,
} from './control/reports.ts'
import type { RouteControls } from './control/route-report.ts'
import type { Daemon } from './daemon.ts'
import { VERSION } from './defaults.ts'
import { hostAddresses } from './host/local-addresses.ts'
import { measureLifetime, netcheck } from './netcheck.ts'
import { carriedBy } from './organizations/share.ts'
import type { PathNetcheck } from './path/nat/watch.ts'
import type { PathStatus } from './path/path-status.ts'
import { pingTimes } from './ping.ts'
import { rendezvousMultiaddrs } from './plan-peers.ts'
import { PolicyView } from './policy-view.ts'
import type { Renewal } from './renewal.ts'
import type { TunnelPeerStats } from './tunnel/backend.ts'
import type { WhyReport } from './why/report.ts'
import { Why } from './why/why.ts'

export class DaemonView implements Controls {
  readonly #daemon: Daemon
  readonly #renewal: Renewal
  readonly #why: Why
  readonly routes: RouteControls
  readonly proxy: ProxyControls | undefined
  readonly names: NamesControls | undefined
  readonly lock: LockControls | undefined
  readonly organizations: OrganizationControls | undefined
  readonly policy: PolicyView

  constructor(
    daemon: Daemon,
    renewal: Renewal,
    {
      routes,
      proxy,
      names,
      lock,
      organizations,
    }: Pick<Controls, 'proxy' | 'names' | 'lock' | 'organizations'> & {
      readonly routes: RouteControls
    },
  ) {
    this.routes = routes
    this.proxy = proxy
    this.names = names
    this.lock = lock
    this.organizations = organizations
    this.#daemon = daemon
    this.#renewal = renewal
    this.policy = new PolicyView(daemon)
    this.#why = new Why(daemon, renewal)
  }

  async status(): Promise<StatusReport> {
    const { options, device, local, join } = this.#daemon
    const { mesh } = this.#daemon.parts
    const { knowledge, tunnel, clock } = options
    const [state, now] = [knowledge.state(), clock.now()]
    const member = memberOf(state, device, now)
    const manifest = currentManifest(state, now)?.body
    const connections = mesh?.connections() ?? []
    return {
      ...this.#stateOf(member, now),
      version: VERSION,
      name: member?.certificate.name ?? join.name,
      deviceId: device,
      organization: { id: state.organization, name: manifest?.name ?? '' },
      addresses: this.#addresses(member),
      interface: {
        name: tunnel.interfaceName,
        backend: tunnel.kind,
        listenPort: options.listenPort,
        mtu: this.#daemon.plan.tunnel.mtu,
      },
      ...(member === undefined
        ? {}
        : { certificate: { notAfter: iso(member.certificate.notAfter) } }),
      ...(manifest === undefined
        ? {}
        : {
            manifest: {
              sequence: manifest.sequence,
              compromised: equivocation(state, now).length > 0,
            },
          }),
      ...{ policy: this.policy.own(), natMapping: local.natMapping },
      candidates: local.candidates.map((each) => `${each.kind} ${formatEndpoint(each)}`),
      registry: {
        url: join.registry,
        reachable: this.#renewal.status().reachable,
        connected: connections.some(({ device: who }) => who === 'registry'),
      },
      mesh: {
        peerId: device,
        connections: connections.length,
        multiaddrs: [...(mesh?.multiaddrs() ?? [])],
      },
      ...{ peers: this.#counted(), blocked: this.#blocked() },
      names: this.names?.status(),
    }
  }

  async peers(): Promise<readonly PeerReport[]> {
    const stats = new Map(
      (await this.#daemon.options.tunnel.stats()).map((each) => [toHex(each.publicKey), each]),
    )
    const connected = new Set(
      (this.#daemon.parts.mesh?.connections() ?? []).map(({ device }) => device),
    )
    return [...this.#daemon.plan.peers.values()].map((member) =>
      this.#peer(
        member,
        stats.get(toHex(member.certificate.wireguardKey)),
        connected.has(member.certificate.device),
      ),
    )
  }

  async ping(peer: string, count: number): Promise<PingReport> {
    const member = this.#find(peer)
    const address = isIP(peer) > 0 ? peer : prefixAddress(firstAddress(member))
    const answers = await pingTimes(address, count, this.#daemon.options)
    const times = answers.toSorted((a, b) => a - b)
    const medianMs = times[Math.floor((times.length - 1) / 2)]
    return {
      peer: member.certificate.name,
      address,
      path: this.#daemon.parts.paths?.status(member.certificate.device).kind ?? 'offline',
      sent: count,
      received: times.length,
      ...(medianMs === undefined ? {} : { medianMs }),
    }
  }

  async netcheck(): Promise<NetcheckReport> {
    const { options, plan, join } = this.#daemon
    const { knowledge, tunnel, commands, clock } = options
    return netcheck({
      paths: this.#pathNetcheck(),
      addresses: hostAddresses(tunnel.interfaceName),
      registry: join.registry,
      rendezvous: rendezvousMultiaddrs(knowledge.state(), join, clock.now()),
      nameOf: (device) => plan.peers.get(device)?.certificate.name ?? device,
      statements: [...plan.peers.values()].map(({ endpoints }) => endpoints?.body.issuedAt ?? 0),
      commands,
      clock,
    })
  }

  measureLifetime(longest: number): LifetimeStarted {
    return measureLifetime(this.#pathNetcheck(), longest)
  }

  #pathNetcheck(): PathNetcheck {
    const { paths } = this.#daemon.parts
    if (paths === undefined) throw new ControlError(409, 'nexd is still starting; try again')
    return paths.netcheck()
  }

  why(peer: string): Promise<WhyReport> {
    return this.#why.report(peer)
  }

  #stateOf(member: Member | undefined, now: Seconds): Pick<StatusReport, 'state' | 'reason'> {
    const { options, device } = this.#daemon
    const { mesh, paths } = this.#daemon.parts
    const { refusal } = this.#renewal.status()
    if (member !== undefined) {
      const state = mesh !== undefined && paths !== undefined ? 'running' : 'starting'
      // It is a member until its certificate ends: time to do something about it.
      return { state, ...(refusal !== undefined && { reason: `cannot renew: ${refusal}` }) }
    }
    const standing = deviceStanding(options.knowledge.state(), device, now) ?? 'unknown'
    return {
      state: 'not-member',
      reason: refusal === undefined ? standing : `${standing}; ${refusal}`,
    }
  }

  /** Those that are this device's on this host. */
  #addresses(member: Member | undefined): string[] {
    const mayCarry = carriedBy(this.#daemon.options.neighbours?.current)
    return (member?.certificate.addresses ?? []).filter(mayCarry).map(prefixAddress)
  }

  #counted(): StatusReport['peers'] {
    const { plan, parts } = this.#daemon
    const kinds = [...plan.peers.keys()].map((device) => parts.paths?.status(device).kind)
    const connected = kinds.filter((kind) => kind === 'direct' || kind === 'relay').length
    return { connected, idle: kinds.filter((kind) => kind === 'idle').length, total: kinds.length }
  }

  #blocked(): StatusReport['blocked'] {
    const { plan, parts } = this.#daemon
    return [...plan.peers].flatMap(([device, { certificate }]) => {
      const blocked = blockedText(parts.paths?.status(device))
      return blocked === undefined ? [] : [{ peer: certificate.name, ...blocked }]
    })
  }

  #peer(
    { certificate }: Member,
    stats: TunnelPeerStats | undefined,
    meshConnected: boolean,
  ): PeerReport {
    const { plan } = this.#daemon
    const { paths, relays } = this.#daemon.parts
    const status = paths?.status(certificate.device) ?? { kind: 'offline' as const }
    const handshake = stats?.latestHandshake ?? 0
    const relay = status.kind === 'relay' ? relays?.inUse(certificate.device) : undefined
    return {
      name: certificate.name,
      deviceId: certificate.device,
      addresses: certificate.addresses.map(prefixAddress),
      allowedIps: [...(plan.tunnel.peers.get(toHex(certificate.wireguardKey))?.allowedIps ?? [])],
      path: status.kind,
      ...(status.kind === 'direct' ? { endpoint: formatEndpoint(status.endpoint) } : {}),
      ...(relay === undefined ? {} : { relay }),
      ...('roundTripMs' in status && status.roundTripMs !== undefined
        ? { roundTripMs: status.roundTripMs }
        : {}),
      blocked: blockedText(status),
      mtu: paths?.mtu(certificate.device) ?? plan.tunnel.mtu,
      ...(handshake > 0 ? { latestHandshake: iso(handshake) } : {}),
      receivedBytes: stats?.receivedBytes ?? 0,
      sentBytes: stats?.sentBytes ?? 0,
      meshConnected,
    }
  }

  #find(peer: string): Member {
    for (const [device, member] of this.#daemon.plan.peers) {
      const { name, addresses } = member.certificate
      if (
        peer === name ||
        peer === device ||
        addresses.some((each) => prefixAddress(each) === peer)
      )
        return member
    }
    throw new ControlError(404, `no peer "${peer}" (nexctl peers list shows them)`)
  }
}

function blockedText(status: PathStatus | undefined): PeerReport['blocked'] {
  if (status?.kind !== 'relay' || status.blocked === undefined) return undefined
  const { endpoint, forMs } = status.blocked
  return { endpoint: formatEndpoint(endpoint), retrySeconds: Math.ceil(forMs / 1000) }
}

function firstAddress({ certificate }: Member): (typeof certificate.addresses)[number] {
  const [address] = certificate.addresses
  if (address === undefined) throw new ControlError(409, `${certificate.name} has no address`)
  return address
}

/** What ping(8) prints; its exit status says only whether all came back. */
function iso(moment: number): string {
  return new Date(moment * 1000).toISOString()
}
