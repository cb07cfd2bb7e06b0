/** The mesh: libp2p as the agent sees it. Members and registries, admitted by certificate, kept connected. */
import type { Clock } from '../../protocol/clock.ts'
import { type Envelope, openEnvelope } from '../../protocol/envelope.ts'
import type { Evidence } from '../../protocol/evidence.ts'
import {
  type DeviceId,
  type DeviceKeyPair,
  deviceIdOf,
  type OrganizationId,
} from '../../protocol/keys.ts'
import type { Log } from '../../protocol/log.ts'
import type { Punch } from '../../protocol/punch.ts'
import type { RelayRate } from '../../protocol/relay-meter.ts'
import type { OrganizationState } from '../../protocol/state.ts'
import { type Admission, startAdmission } from './admission.ts'
import { DeniedPeers } from './denied.ts'
import { libp2pKeyOf, peerIdOf } from './device-peer.ts'
import type { DialPeer } from './dial-targets.ts'
import { Dialer } from './dialer.ts'
import { type ExitNames, startExitNames } from './exit-names-stream.ts'
import { createGater } from './gater.ts'
import { type Gossip, startGossip } from './gossip.ts'
import { deviceOfLink, type Link, type LinkKind, Links, nameOfLink } from './links.ts'
import { ListenError } from './listen-error.ts'
import { type Liveness, startLiveness } from './liveness.ts'
import { createNode, type MeshNode, stopNode } from './node.ts'
import { oncePerTurn } from './once-per-turn.ts'
import { ownMultiaddrs, watchOwnMultiaddrs } from './own-multiaddrs.ts'
import { type Punches, startPunches } from './punch-stream.ts'
import { RelayLines } from './relay-lines.ts'
import { RelayOffers } from './relay-offers.ts'
import { type RelayServer, startRelayServer } from './relay-server.ts'
import { serveRelayUdp } from './relay-udp-server.ts'
import type { Relays } from './relays.ts'
import { startReservations } from './reservations.ts'
import { Roster } from './roster.ts'
import { watchStreams } from './stream-pace.ts'
import { watchSurplus } from './surplus.ts'
import { type Sync, startSync } from './sync-stream.ts'
import { startWhys, type WhyReply, type Whys } from './why-stream.ts'

export interface MeshOptions {
  readonly deviceKey: DeviceKeyPair
  readonly organization: OrganizationId
  /** Belief at this moment. */
  state(): OrganizationState
  /** An envelope came by gossip or sync; `accept`: believed and new. */
  receive(envelope: Envelope, from: DeviceId | 'registry'): 'accept' | 'ignore'
  /** A hello has taught something: the state that `state()` gave just now, and more. */
  learn(state: OrganizationState): void
  /** Multiaddrs. */
  readonly listen: readonly string[]
  /** Multiaddrs of registries. */
  rendezvous(): readonly string[]
  /** Be a circuit relay for members, and pass on their datagrams where the certificate gives that role? */
  readonly relayServer: boolean
  readonly relayRate: RelayRate
  readonly mdns: boolean
  /** They send by its streams, too. */
  readonly relays: Relays
  onPunch(from: DeviceId, punch: Punch): void
  /** What this device knows of the path to `to`, which asks. */
  evidence(to: DeviceId): Promise<Evidence>
  /** What this device, an exit, answers to a DNS message of a member that uses it; undefined: nothing. Never rejects. */
  exitAnswer(from: DeviceId, question: Uint8Array): Promise<Uint8Array | undefined>
  /** Connections, relays or own multiaddrs changed. */
  onChange(): void
  readonly clock: Clock
  readonly random: (n: number) => Uint8Array
  readonly log: Log
}

export interface MeshPeer extends DialPeer {
  readonly name: string
}

export interface MeshConnection {
  readonly device: DeviceId | 'registry'
  readonly name?: string
  readonly kind: LinkKind
  /** Multiaddr. */
  readonly remoteAddress: string
  /** Wall time, milliseconds. */
  readonly since: number
}

export interface Mesh extends AsyncDisposable {
  /** Tells an envelope by gossip, and every connected registry by sync. */
  publish(bytes: Uint8Array): Promise<void>
  /** Whom to stay connected to. Devices that were there and are not any more are dropped at once. */
  setPeers(peers: readonly MeshPeer[]): void
  connections(): readonly MeshConnection[]
  /** Own multiaddrs, for the endpoint update. */
  multiaddrs(): readonly string[]
  /** Resolves to whether it was sent by some connection; tries to connect when there is none. */
  sendPunch(to: DeviceId, punch: Punch): Promise<boolean>
  /** Asks the device for its evidence about the path between it and this one; takes some seconds at most
   *  and never rejects. */
  why(to: DeviceId): Promise<WhyReply>
  /** Asks an exit a DNS message, by the connections that there are. Undefined where no answer came; never rejects. */
  askExit(exit: DeviceId, question: Uint8Array): Promise<Uint8Array | undefined>
  /** A path of the tunnel's leads to the device: connections through the tunnel are worth another try. */
  pathUp(device: DeviceId): void
  /** Another path leads to the device, or none any more: connections that were silent for a while are closed unless they
   *  answer within 2 s. */
  pathChanged(device: DeviceId): void
  /** This host has moved: connections that do not answer within 2 s are closed, and all are dialled again. */
  networkChanged(): void
}

/** Starts libp2p, dials everybody known at once, and keeps at it until disposed. Throws ListenError when
 *  one of `listen` cannot be listened on; IPv6 may be missing where IPv4 is not. */
export async function startMesh(options: MeshOptions): Promise<Mesh> {
  const parts = await assemble(options)
  try {
    await parts.mesh.node.start()
  } catch (cause) {
    parts.gossip.stop()
    parts.sync.stop()
    await parts.mesh.node.stop()
    throw new ListenError(options.listen, cause)
  }
  parts.gossip.subscribe()
  return run(parts, options)
}

/** What is there before libp2p starts: whoever connects finds every handler. */
interface Parts {
  readonly self: DeviceId
  readonly mesh: MeshNode
  readonly links: Links
  readonly roster: Roster
  readonly admission: Admission
  readonly server: RelayServer
  readonly denied: DeniedPeers
  readonly punches: Punches
  readonly whys: Whys
  readonly exitNames: ExitNames
  readonly gossip: Gossip
  readonly sync: Sync
}

async function assemble(options: MeshOptions): Promise<Parts> {
  const { deviceKey, clock, log } = options
  const self = deviceIdOf(deviceKey.publicKey)
  const links = new Links()
  const denied = new DeniedPeers(clock, log)
  const gater = createGater(denied, links)
  const mesh = await createNode({ ...options, privateKey: libp2pKeyOf(deviceKey), gater })
  const roster = new Roster({ ...options, mesh, links, denied })
  const { relays, relayRate: rate } = options
  const shared = { ...options, ...relays, links, denied, onFault: roster.blame.bind(roster) }
  const forOthers = () => options.relayServer && rate.total > 0 && relays.roles.has(self)
  const gossip = startGossip(mesh, shared)
  watchStreams(mesh, shared)
  const party = { ...options, key: deviceKey, device: self }
  const kindOf = roster.kindOf.bind(roster)
  return {
    self,
    mesh,
    links,
    roster,
    gossip,
    admission: await startAdmission(mesh, { ...shared, party, kindOf }),
    server: await startRelayServer(mesh, { ...shared, forOthers, self, rate }),
    denied,
    punches: await startPunches(mesh, shared),
    whys: await startWhys(mesh, shared),
    exitNames: await startExitNames(mesh, shared),
    sync: await startSync(mesh, { ...shared, publish: gossip.passOn }),
  }
}

/** What runs while libp2p does. */
function run(parts: Parts, options: MeshOptions): Mesh {
  const { self, mesh, links } = parts
  const { clock, relays } = options
  const ended = new AbortController()
  const changed = oncePerTurn(clock, ended.signal, options.onChange)
  links.onUp(changed)
  links.onDown(changed)
  const offers = new RelayOffers(mesh, links, () => relayUp())
  const isRelay = (link: Link): boolean => offers.isRelay(link)
  const shared = { ...options, ...parts, isRelay, onFault: parts.roster.blame.bind(parts.roster) }
  const passesOn = (link: Link): boolean => relays.roles.has(deviceOfLink(link)) && isRelay(link)
  const lines = new RelayLines({ ...shared, passesOn, relays })
  const udp = serveRelayUdp(mesh, parts.server, options)
  const reservations = startReservations(mesh, { ...shared, onChange: changed })
  const peerId = mesh.node.peerId.toString()
  const dialer = new Dialer({ ...shared, device: self, self: peerId, signal: ended.signal })
  const relayUp = (): void => {
    for (const link of links.all()) lines.open(link)
    relays.look()
    reservations.look()
    dialer.relayUp()
    changed()
  }
  mesh.node.addEventListener('peer:discovery', ({ detail: { id, multiaddrs } }) => {
    dialer.found(id.toString(), multiaddrs.map(String))
  })
  const multiaddrs = (): readonly string[] =>
    ownMultiaddrs(mesh, { ...options, self, reservations })
  const liveness = startLiveness(links, clock, options.log)
  const watched = watchOwnMultiaddrs(multiaddrs, clock, changed)
  const surplus = watchSurplus(links, peerId, clock)
  const running = { dialer, liveness, multiaddrs }
  return {
    ...surfaceOf(parts, running),
    [Symbol.asyncDispose]: async () => {
      ended.abort(new Error('the mesh has ended'))
      watched.cancel()
      const { server, gossip, sync } = parts
      for (const each of [lines, reservations, dialer, liveness, surplus, gossip, sync, server])
        each.stop()
      await stopNode(mesh, clock)
      await (await udp)?.close()
    },
  }
}

interface Running {
  readonly dialer: Dialer
  readonly liveness: Liveness
  multiaddrs(): readonly string[]
}

function surfaceOf(
  { links, roster, denied, punches, whys, exitNames, gossip, sync }: Parts,
  { dialer, liveness, multiaddrs }: Running,
): Omit<Mesh, keyof AsyncDisposable> {
  return {
    multiaddrs,
    connections: () => links.all().map(connectionOf),
    publish: async (bytes) => {
      sync.push(openEnvelope(bytes))
      await gossip.publish(bytes)
    },
    setPeers: (peers) => {
      const devices = peers.map(({ device }) => device)
      roster.set(devices)
      dialer.setPeers(peers)
    },
    sendPunch: async (to, punch) => {
      const known = links.to(peerIdOf(to).toString())
      return punches.send(known.length > 0 ? known : await dialer.reach(to), punch)
    },
    why: async (to) => {
      const peer = peerIdOf(to).toString()
      const known = links.to(peer)
      const reply = await whys.ask(known.length > 0 ? known : await dialer.reach(to))
      return reply.kind === 'not-connected' ? { ...reply, refusal: denied.reasonOf(peer) } : reply
    },
    askExit: async (exit, question) => {
      const known = links.to(peerIdOf(exit).toString())
      return exitNames.ask(known.length > 0 ? known : await dialer.reach(exit), question)
    },
    pathUp: (device) => dialer.pathUp(device),
    pathChanged: (device) => liveness.checkSilent(peerIdOf(device).toString()),
    networkChanged: () => {
      liveness.check()
      dialer.hint()
    },
  }
}

function connectionOf(link: Link): MeshConnection {
  return {
    device: deviceOfLink(link) ?? 'registry',
    name: nameOfLink(link),
    kind: link.kind,
    remoteAddress: link.connection.remoteAddr.toString(),
    since: link.sinceMs,
  }
}
