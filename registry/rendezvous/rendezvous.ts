/** Rendezvous: where devices find the registry and each other. Hello, sync, circuits and relay, strictly
 *  inside one organization, and a STUN responder beside them. */

import type { Libp2p } from '@libp2p/interface'
import type { RandomBytes } from '../../crypto/random.ts'
import { abortConnection } from '../../protocol/abort.ts'
import { deviceStanding } from '../../protocol/belief.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { HelloParty } from '../../protocol/hello-exchange.ts'
import type { OrganizationId } from '../../protocol/keys.ts'
import type { Log } from '../../protocol/log.ts'
import type { Rendezvous as Meeting } from '../../protocol/manifest.ts'
import type { RelayRate } from '../../protocol/relay-meter.ts'
import type { OrganizationState } from '../../protocol/state.ts'
import type { HostPort } from '../config.ts'
import type { Issuing } from '../issuing.ts'
import type { Database } from '../store/database.ts'
import { DENIED_MS, startAdmission } from './admission.ts'
import { announcedMultiaddrs, announcedPort, announcedStun } from './announce.ts'
import { loadIdentity } from './identity.ts'
import { type Link, Links, peerOfDevice } from './links.ts'
import { cannotListen } from './listening.ts'
import { startLiveness } from './liveness.ts'
import { createNode } from './node.ts'
import { Organizations } from './organizations.ts'
import { type RegistryRelay, startRelay } from './relay.ts'
import { Strangers } from './strangers.ts'
import { startStunResponder } from './stun-responder.ts'
import { startSync } from './sync.ts'

/** Milliseconds between looks for members whose certificates have ended. */
const REVIEW_MS = 30_000

export interface RendezvousOptions {
  readonly database: Database
  readonly issuing: Issuing
  readonly stateDirectory: string
  readonly publicUrl: string
  /** TCP multiaddrs. */
  readonly listen: readonly string[]
  /** Multiaddrs told to devices; empty: those listened on. */
  readonly announce: readonly string[]
  /** UDP. */
  readonly stunListen: readonly HostPort[]
  /** `ip:port` told to devices; empty: those listened on. */
  readonly stunAnnounce: readonly string[]
  readonly relayRate: RelayRate
  readonly clock: Clock
  readonly randomBytes: RandomBytes
  readonly log: Log
}

export interface Rendezvous extends AsyncDisposable {
  /** Peer id. */
  readonly id: string
  /** Where devices meet, as manifests and answers say it. */
  readonly meeting: Meeting
  /** Devices connected now. */
  connected(organization: OrganizationId): readonly { device: string; name: string }[]
  /** What this registry believes of an organization that it has, what its devices said last among it. */
  belief(organization: OrganizationId): OrganizationState | undefined
}

/** Listens when it resolves. Throws ConfigError where an address can't be listened on, or KeyFileError. */
export async function startRendezvous(options: RendezvousOptions): Promise<Rendezvous> {
  await using started = new AsyncDisposableStack()
  const { clock, log } = options
  const links = new Links()
  const strangers = new Strangers(clock, log)
  const organizations = new Organizations(options)
  started.defer(() => organizations.stop())
  await organizations.load()
  const parts = { organizations, links, strangers, clock, log }
  const { node, relay } = await startNode(options, parts)
  started.defer(async () => {
    await node.stop()
    relay.close()
  })
  const liveness = startLiveness(links, clock, log)
  started.defer(() => liveness.stop())
  const stun = started.use(
    await startStunResponder({
      listen: options.stunListen,
      onRelayDatagram: (datagram, route) => relay.receiveUdp(datagram, route),
      clock,
      log,
    }),
  )
  const review = startReview(parts)
  started.defer(() => review.stop())
  const host = new URL(options.publicUrl).hostname
  const meeting = {
    multiaddrs: announcedMultiaddrs(node, options.announce, host),
    stun: announcedStun(stun.bound, options.stunAnnounce, host),
  }
  const udpPort = announcedPort(meeting.stun) ?? stun.bound[0]?.port
  if (udpPort !== undefined) relay.offerUdp(udpPort)
  log('info', 'rendezvous.started', { ...meeting })
  const stack = started.move()
  return {
    id: node.peerId.toString(),
    meeting,
    connected: (organization) =>
      links.in(organization).map(({ device, name }) => ({ device, name })),
    belief: (organization) => organizations.state(organization),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

interface Parts {
  readonly organizations: Organizations
  readonly links: Links
  readonly strangers: Strangers
  readonly clock: Clock
  readonly log: Log
}

async function startNode(
  options: RendezvousOptions,
  parts: Parts,
): Promise<{ readonly node: Libp2p; readonly relay: RegistryRelay }> {
  const { listen, randomBytes, stateDirectory, relayRate: rate } = options
  const key = await loadIdentity(stateDirectory)
  const created = await createNode({ key, listen, ...parts })
  const partyOf = (id: OrganizationId) => partyFor(parts.organizations, id)
  await startAdmission(created, { partyOf, randomBytes, ...parts })
  await startSync(created, parts)
  const relay = await startRelay(created, { ...parts, key, rate, randomBytes })
  try {
    await created.node.start()
  } catch (cause) {
    await created.node.stop()
    throw cannotListen('--rendezvous-listen', listen, cause)
  }
  return { node: created.node, relay }
}

/** Who speaks for an organization in a hello. */
function partyFor(
  organizations: Organizations,
  organization: OrganizationId,
): HelloParty | undefined {
  const key = organizations.issuer(organization)
  const known = organizations.state(organization)
  if (key === undefined || known === undefined) return undefined
  return {
    organization,
    key,
    device: undefined,
    state: () => organizations.state(organization) ?? known,
    learn: (state) => organizations.learn(state),
  }
}

/** Ends connections of devices that are members no more, at once and when certificates run out. */
function startReview({ organizations, links, strangers, clock, log }: Parts): { stop(): void } {
  const review = (link: Link): void => {
    const state = organizations.state(link.organization)
    const refusal = state && deviceStanding(state, link.device, clock.now())
    if (refusal === undefined) return
    const { organization, device, name } = link
    log('info', 'rendezvous.device-dropped', { organization, device, name, reason: refusal })
    strangers.deny(link.peer, DENIED_MS)
    abortConnection(link.connection, new Error(refusal))
  }
  organizations.onNews(({ organization, envelopes }) => {
    for (const envelope of envelopes) {
      // Whoever was refused a moment ago may be a member from now on.
      if (envelope.kind === 'membership-certificate' || envelope.kind === 'approval') {
        strangers.allow(peerOfDevice(envelope.body.device))
      }
    }
    for (const link of links.in(organization)) review(link)
  })
  const timer = clock.every(REVIEW_MS, () => {
    for (const link of links.all()) review(link)
  })
  return { stop: () => timer.cancel() }
}
