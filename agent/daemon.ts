/** Daemon: the shell around the pure core. What is believed becomes a plan, the plan a tunnel; what the
 *  device learns about itself becomes signed statements. Parts end in the reverse order of their start. */
import type { RandomBytes } from '../crypto/random.ts'
import { type Envelope, openEnvelope } from '../protocol/envelope.ts'
import { type DeviceId, deviceIdOf } from '../protocol/keys.ts'
import type { Log } from '../protocol/log.ts'
import { StatementPace } from '../protocol/pace.ts'
import { explain } from './errors.ts'
import { hostAddresses } from './host/local-addresses.ts'
import type { HostSide } from './host-side.ts'
import { knownRegistries } from './known-registries.ts'
import type { Mesh, MeshOptions } from './mesh/mesh.ts'
import type { Relays } from './mesh/relays.ts'
import { OwnPunches } from './own-punches.ts'
import { mtuHost, type OwnSideOptions, ownSides } from './own-side.ts'
import { type LocalReachability, OwnStatements } from './own-statements.ts'
import type { Paths, PathsOptions } from './path/paths.ts'
import { PathReports } from './path-reports.ts'
import { isSamePlan, type Plan, plan } from './plan.ts'
import {
  meshPeers,
  overlayPrefixes,
  pathChange,
  pathPeers,
  rendezvousMultiaddrs,
  stunServers,
  withPaths,
} from './plan-peers.ts'
import { PolicyEnforcement } from './policy-enforcement.ts'
import { receive } from './receive.ts'
import type { Issued } from './registry-client.ts'
import type { RouteSide } from './routes/route-side.ts'
import type { Stack } from './stack/stack.ts'
import type { Join } from './state-directory.ts'
import { Watch } from './watch.ts'

export interface DaemonOptions
  extends Pick<MeshOptions, 'mdns' | 'relayRate'>,
    Pick<HostSide, 'commands' | 'checkPort' | 'tunnel' | 'firewall'>,
    OwnSideOptions {
  readonly join: Join
  /** The inside of a tunnel that has no interface. */
  readonly inside?: Stack | undefined
  /** What it runs on, for people. */
  readonly system: string
  readonly meshListen: readonly string[]
  readonly random: RandomBytes
  readonly log: Log
}

export class Daemon {
  readonly options: DaemonOptions
  readonly device: DeviceId
  readonly enforcement: PolicyEnforcement
  readonly statements: OwnStatements
  readonly #own: ReturnType<typeof ownSides>
  readonly #watch: Watch
  readonly #punches: OwnPunches
  readonly #pace = new StatementPace()
  readonly #reports = new PathReports(this)
  #join: Join
  #plan: Plan
  #paths: Paths | undefined
  #relays: Relays | undefined
  #mesh: Mesh | undefined
  #routes: RouteSide | undefined
  #local: LocalReachability = { candidates: [], natMapping: 'unknown', nat: [] }
  #applying: Promise<void> = Promise.resolve()
  #configured: ReadonlySet<string> = new Set()
  #isApplyDue = false
  /** Since the last plan something happened, or it could not be carried out. */
  #isNews = true
  #isEnded = false

  constructor(options: DaemonOptions) {
    const { directory, knowledge, clock, log } = options
    this.options = options
    this.device = deviceIdOf(directory.deviceKey.publicKey)
    this.#join = options.join
    this.#own = ownSides(this.device, options)
    this.#watch = new Watch(this.device, clock, log)
    this.#punches = new OwnPunches(() => this.#mesh, clock, log)
    this.statements = new OwnStatements(knowledge, directory.deviceKey, options.system, clock)
    const multiaddrs = () => [...options.meshListen, ...(this.#mesh?.multiaddrs() ?? [])]
    this.enforcement = new PolicyEnforcement({ ...options, multiaddrs, onLost: () => this.apply() })
    this.#plan = this.#makePlan()
    knowledge.onChange(() => this.apply())
  }

  get plan(): Plan {
    return this.#plan
  }

  get parts() {
    return { paths: this.#paths, relays: this.#relays, mesh: this.#mesh, routes: this.#routes }
  }

  get join(): Join {
    return this.#join
  }

  get local(): LocalReachability {
    return this.#local
  }

  /** What path/ needs of us. */
  pathsOptions(): PathsOptions {
    const { directory, listenPort, checkPort, tunnel, commands } = this.options
    const { knowledge, clock, random, log } = this.options
    return {
      device: this.device,
      wireguardKey: directory.wireguardKey,
      ...{ listenPort, checkPort, tunnel, clock, random, log },
      sendDatagram: (...sent) => this.#relays?.send(...sent) ?? false,
      relays: () => this.#relays,
      sendPunch: (...said) => this.#punches.send(...said),
      stunServers: () => stunServers(knowledge.state(), this.#join, clock.now()),
      hostAddresses: () => hostAddresses(tunnel.interfaceName),
      overlayPrefixes: () => overlayPrefixes(knowledge.state(), this.#plan, clock.now()),
      isRegistryConnected: () =>
        this.#mesh?.connections().some(({ device }) => device === 'registry') ?? false,
      onLocalCandidates: (candidates, natMapping, nat) => {
        this.#local = { candidates, natMapping, nat }
        this.sayReachability()
      },
      onPathChanged: (device, status) => {
        log('info', 'peer.path-changed', pathChange(this.#plan, device, status))
        if (status.kind === 'direct' || status.kind === 'relay') this.#mesh?.pathUp(device)
        if (status.kind !== 'idle') this.#mesh?.pathChanged(device)
      },
      onSession: (device) => this.#mesh?.pathUp(device),
      mtu: mtuHost(
        commands,
        () => this.#plan.tunnel.mtu,
        () => this.apply(),
      ),
    }
  }

  /** What mesh/ needs of us. */
  meshOptions(): Omit<MeshOptions, 'evidence' | 'exitAnswer' | 'relays'> {
    const { options } = this
    const { knowledge, clock, random, log } = options
    return {
      deviceKey: options.directory.deviceKey,
      organization: options.join.organization,
      state: () => knowledge.state(),
      receive: (envelope) => this.receive(envelope),
      learn: (state) => knowledge.adopt(state),
      listen: options.meshListen,
      rendezvous: () => rendezvousMultiaddrs(knowledge.state(), this.#join, clock.now()),
      relayServer: true,
      relayRate: options.relayRate,
      mdns: options.mdns,
      onPunch: (from, punch) => this.#paths?.punched(from, punch.candidates, punch.spray),
      onChange: () => {
        this.sayReachability()
        this.#paths?.relaysChanged()
      },
      ...{ clock, random, log },
    }
  }

  /** The first configuration, with paths to give endpoints: throws where the host does not allow it. */
  async begin(paths: Paths): Promise<void> {
    this.#paths = paths
    paths.setPeers(pathPeers(this.#plan))
    await this.#configure()
  }

  networkChanged(): void {
    const addresses = hostAddresses(this.options.tunnel.interfaceName)
    this.options.log('info', 'network.changed', { addresses })
    // Others are losing packets until they have left this device.
    this.#routes?.networkChanged()
    this.#paths?.networkChanged()
    for (const part of [this.#relays, this.#mesh]) part?.networkChanged()
    this.apply()
  }

  useRelays(relays: Relays): void {
    this.#relays = relays
    relays.setPeers(meshPeers(this.#plan))
  }

  useMesh(mesh: Mesh): void {
    this.#mesh = mesh
    mesh.setPeers(meshPeers(this.#plan))
    this.sayReachability()
  }

  /** One envelope from anybody: accept what is newly believed, ignore the rest. */
  receive(envelope: Envelope): 'accept' | 'ignore' {
    return receive(envelope, this.#pace, this.options)
  }

  /** Learns what the registry issued and tells the others. */
  issued({ envelopes, rendezvous, registries: told }: Issued): void {
    for (const bytes of envelopes) {
      const envelope = openEnvelope(bytes)
      this.options.knowledge.learn(envelope)
      this.publish(bytes)
    }
    const registries = knownRegistries(this.#join.registry, told)
    const join = { ...this.#join, rendezvous, registries }
    if (JSON.stringify(join) === JSON.stringify(this.#join)) return
    this.#join = join
    const { directory, log } = this.options
    void directory
      .saveJoin(join)
      .catch((error: unknown) => log('error', 'state.write-failed', { reason: explain(error) }))
  }

  /** Seals and publishes an endpoint update where there is something new to say. */
  sayReachability(): void {
    if (this.#isEnded || this.#paths === undefined || this.#mesh === undefined) return
    const bytes = this.statements.reachable({
      ...this.#local,
      multiaddrs: this.#mesh.multiaddrs(),
      policy: this.enforcement.told(),
      paths: this.#reports.told(),
    })
    if (bytes !== undefined) this.publish(bytes)
  }

  /** From now on it is asked who carries a prefix. */
  useRoutes(routes: RouteSide): void {
    this.#routes = routes
    this.apply()
  }

  publish(bytes: Uint8Array): void {
    void this.#mesh?.publish(bytes).catch((error: unknown) => {
      this.options.log('warn', 'gossip.publish-failed', { reason: explain(error) })
    })
  }

  /** What time alone changes: expiry, refresh of our own statements. */
  tick(): void {
    for (const bytes of this.statements.refreshed()) this.publish(bytes)
    this.sayReachability()
    this.apply('time')
  }

  /** Brings tunnel, paths and mesh to the plan of the present belief; changes meanwhile are taken together. */
  apply(why: 'news' | 'time' = 'news'): void {
    this.#isNews ||= why === 'news'
    if (this.#isApplyDue || this.#isEnded) return
    this.#isApplyDue = true
    const failed = (error: unknown): void => {
      this.#isNews = true
      this.#watch.say('error', 'tunnel.configure-failed', explain(error))
    }
    this.#applying = this.#applying.then(() => this.#applyNow()).catch(failed)
  }

  async #applyNow(): Promise<void> {
    this.#isApplyDue = false
    if (this.#isEnded) return
    const before = this.#plan
    this.#plan = this.#makePlan()
    this.#watch.look(this.options.knowledge.state(), this.#plan)
    const isEnforced = this.enforcement.status().state === 'enforced'
    const isSame = !this.#isNews && isEnforced && isSamePlan(before, this.#plan)
    this.#isNews = false
    if (isSame) return this.#routes?.applied(this.#plan)
    // A device that is out leaves the mesh at once, before the tunnel has been changed.
    this.#relays?.setPeers(meshPeers(this.#plan))
    this.#mesh?.setPeers(meshPeers(this.#plan))
    this.#paths?.setPeers(pathPeers(this.#plan))
    await this.#configure()
  }

  /** A new peer comes with its endpoint: a packet to a peer without one would cost WireGuard's 5 s. */
  async #configure(): Promise<void> {
    const prepared = await this.enforcement.prepare(this.#plan)
    if (!this.enforcement.isOpen) this.sayReachability()
    await this.options.tunnel.configure(withPaths(prepared.plan, this.#configured, this.#paths))
    this.#configured = new Set(prepared.plan.tunnel.peers.keys())
    await prepared.done()
    await this.#routes?.applied(this.#plan)
  }

  /** Resolves when the tunnel is as planned; nothing is changed after it was told to end. */
  end(): Promise<void> {
    this.#isEnded = true
    return this.#applying
  }

  /** Resolves when the tunnel follows what is believed now. */
  settled(): Promise<void> {
    return this.#applying
  }

  #makePlan(): Plan {
    const { knowledge, clock } = this.options
    this.#routes?.update()
    return plan(knowledge.state(), this.#own(this.#isNews), clock.now(), this.#routes?.choice)
  }
}
