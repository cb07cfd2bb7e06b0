/** A hostile member in the laboratory: in good standing, with software of its own. See attacker.ts. */
import type { Connection, Stream } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { startAdmission } from '../../agent/mesh/admission.ts'
import { DeniedPeers } from '../../agent/mesh/denied.ts'
import { libp2pKeyOf } from '../../agent/mesh/device-peer.ts'
import { createGater } from '../../agent/mesh/gater.ts'
import { Links } from '../../agent/mesh/links.ts'
import { createNode, type MeshNode } from '../../agent/mesh/node.ts'
import { SYNC_PROTOCOL } from '../../agent/mesh/sync-stream.ts'
import { systemClock } from '../../agent/system-clock.ts'
import { type AgreementKeyPair, agreementKeyPairFromPrivate } from '../../crypto/agreement.ts'
import { fromBase64, fromHex, toBase64, toHex } from '../../crypto/bytes.ts'
import { randomBytes } from '../../crypto/random.ts'
import { generateSigningKeyPair, signingKeyPairFromSeed } from '../../crypto/signing.ts'
import { type IpAddress, parseIpAddress, parsePrefix } from '../../protocol/address.ts'
import { type Candidate, encodeEndpointUpdate } from '../../protocol/endpoint-update.ts'
import { type Envelope, openEnvelope, sealEnvelope } from '../../protocol/envelope.ts'
import {
  type DeviceId,
  type DeviceKeyPair,
  deviceIdOf,
  type IssuerKeyPair,
  type OrganizationId,
  parseOrganizationId,
} from '../../protocol/keys.ts'
import { FRAME_BYTES, MANIFEST_BYTES } from '../../protocol/limits.ts'
import { encodeManifest } from '../../protocol/manifest.ts'
import { ALLOW_ALL } from '../../protocol/policy.ts'
import { PUNCH_PROTOCOL } from '../../protocol/punch.ts'
import { encodeRelayFrame, RELAY_PROTOCOL, relayAddressOf } from '../../protocol/relay.ts'
import { encodeRouteAdvertisement } from '../../protocol/route-advertisement.ts'
import { apply, emptyState, type OrganizationState } from '../../protocol/state.ts'
import { syncable } from '../../protocol/sync.ts'
import { answerSync, offerSync } from '../../protocol/sync-exchange.ts'
import { seconds } from '../../protocol/time.ts'
import { channelOf } from '../support/rendezvous-peer.ts'

import type { Identity } from './errands.ts'

const now = () => systemClock.now()
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
export const keyOf = ({ seed }: Identity): DeviceKeyPair =>
  signingKeyPairFromSeed<'device'>(fromHex(seed))

export class HostileMember {
  readonly key: DeviceKeyPair
  readonly device: DeviceId
  readonly organization: OrganizationId
  readonly mesh: MeshNode
  readonly wireguardKey: AgreementKeyPair
  readonly #targets: readonly string[]
  readonly #admission: { admitted(connection: Connection): Promise<unknown> }[] = []
  #state: OrganizationState
  #sequence = Date.now()

  private constructor(as: Identity, mesh: MeshNode, targets: readonly string[]) {
    this.key = keyOf(as)
    this.device = deviceIdOf(this.key.publicKey)
    this.organization = parseOrganizationId(as.organization)
    this.mesh = mesh
    this.wireguardKey = agreementKeyPairFromPrivate(fromHex(as.wireguard ?? '00'.repeat(32)))
    this.#targets = targets
    this.#state = emptyState(this.organization)
    for (const each of as.envelopes) this.#hear(openEnvelope(fromBase64(each)))
  }

  static async start(as: Identity, targets: readonly string[]): Promise<HostileMember> {
    const links = new Links()
    const denied = new DeniedPeers(systemClock, () => undefined)
    const mesh = await createNode({
      privateKey: libp2pKeyOf(keyOf(as)),
      organization: parseOrganizationId(as.organization),
      listen: ['/ip4/0.0.0.0/tcp/0'],
      relayServer: true,
      mdns: false,
      gater: createGater(denied, links),
    })
    const member = new HostileMember(as, mesh, targets)
    const admission = await startAdmission(mesh, {
      party: {
        organization: member.organization,
        key: member.key,
        device: member.device,
        state: () => member.#state,
        learn: () => undefined,
      },
      links,
      denied,
      kindOf: () => 'direct',
      random: randomBytes,
      clock: systemClock,
      log: () => undefined,
    })
    await mesh.node.handle(SYNC_PROTOCOL, (stream) => member.#answer(stream))
    await mesh.node.start()
    mesh.gossip.subscribe(mesh.topic)
    member.#admission.push(admission)
    await member.connections()
    await member.#learn()
    return member
  }

  /** One to each target: others close what is one too many. */
  async connections(): Promise<readonly Connection[]> {
    const found: Connection[] = []
    for (const target of this.#targets) {
      const open = this.mesh.node
        .getConnections()
        .filter(
          ({ remotePeer, status }) => target.endsWith(remotePeer.toString()) && status === 'open',
        )
      const connection =
        open[0] ?? (await this.mesh.dial(multiaddr(target), AbortSignal.timeout(5000)))
      await Promise.all(this.#admission.map((each) => each.admitted(connection)))
      found.push(connection)
    }
    return found
  }

  #hear(envelope: Envelope): void {
    this.#state = apply(this.#state, envelope, now()).state
  }

  #party() {
    return {
      syncable: () => syncable(this.#state, now()),
      receive: (envelope: Envelope) => this.#hear(envelope),
    }
  }

  #answer(stream: Stream): void {
    answerSync(channelOf(stream), this.#party())
      .then(() => stream.close())
      .catch((error: unknown) => stream.abort(error as Error))
  }

  async #learn(): Promise<void> {
    const [first] = await this.connections()
    if (first === undefined) return
    const stream = await first.newStream(SYNC_PROTOCOL)
    await offerSync(channelOf(stream), this.#party())
    await stream.close()
  }

  get state(): OrganizationState {
    return this.#state
  }

  known(): readonly string[] {
    return [...syncable(this.#state, now()).values()].map(({ bytes }) => toBase64(bytes))
  }

  async say(bytes: Uint8Array): Promise<void> {
    await this.mesh.gossip.publish(this.mesh.topic, bytes).catch(() => undefined)
  }

  /** Truly signed, and of no use: its own word over and over, claims on what is not its own, words of
   *  devices and issuers that it made up. */
  async nonsense(count: number, victim: string): Promise<void> {
    const address = parseIpAddress(victim)
    for (let n = 0; n < count; n++) {
      const kind = n % 4
      const other = generateSigningKeyPair<'device'>()
      if (kind === 0) await this.say(this.#endpoint(this.key, address))
      else if (kind === 1) await this.say(this.#route(`10.${(n >> 8) & 255}.${n & 255}.1/32`))
      else if (kind === 2) await this.say(this.#endpoint(other, address))
      else await this.say(this.#manifest())
      if (n % 20 === 0) await pause(5)
    }
  }

  #endpoint(key: DeviceKeyPair, address: IpAddress): Uint8Array {
    return this.endpointUpdate(
      [{ kind: 'host', address, port: 51_820 }],
      [`/ip4/${address}/tcp/51822`],
      key,
    )
  }

  endpointUpdate(
    candidates: readonly Candidate[],
    multiaddrs: readonly string[],
    key = this.key,
  ): Uint8Array {
    this.#sequence += 1
    const update = {
      sequence: this.#sequence,
      issuedAt: now(),
      notAfter: seconds(now() + 3600),
      candidates,
      multiaddrs,
      natMapping: 'none' as const,
      system: 'x'.repeat(100),
    }
    return sealEnvelope('endpoint-update', this.organization, encodeEndpointUpdate(update), key)
  }

  #route(prefix: string): Uint8Array {
    this.#sequence += 1
    const claim = {
      sequence: this.#sequence,
      issuedAt: now(),
      notAfter: seconds(now() + 3600),
      prefix: parsePrefix(prefix),
      epoch: 2 ** 48,
      metric: 0,
      state: 'active' as const,
    }
    const claims = encodeRouteAdvertisement(claim)
    return sealEnvelope('route-advertisement', this.organization, claims, this.key)
  }

  /** As large as one may be. */
  #manifest(): Uint8Array {
    const issuer: IssuerKeyPair = generateSigningKeyPair<'issuer'>()
    const notAfter = seconds(now() + 3600)
    const claims = encodeManifest(
      {
        sequence: 2 ** 40,
        previous: randomBytes(32),
        issuedAt: now(),
        name: 'mine',
        ranges: [],
        issuers: [issuer.publicKey],
        rendezvous: [],
        policy: ALLOW_ALL,
      },
      Array.from({ length: 2000 }, () => ({ serial: randomBytes(8), notAfter })),
    )
    return sealEnvelope('manifest', this.organization, claims, issuer)
  }

  /** Frames for devices that there are not, and for one that sent none, by each target. */
  async relay(count: number): Promise<void> {
    for (const connection of await this.connections()) {
      const stream = await connection.newStream(RELAY_PROTOCOL)
      for (let n = 0; n < count && stream.status === 'open'; n++) {
        const peer = n % 2 === 0 ? toHex(randomBytes(9)) : relayAddressOf(this.device)
        if (!stream.send(encodeRelayFrame({ peer, datagram: randomBytes(1200) }))) await pause(20)
      }
    }
  }

  /** Opened, and left open without a word. */
  async streams(count: number): Promise<number> {
    let opened = 0
    for (const connection of await this.connections()) {
      for (let n = 0; n < count && connection.status === 'open'; n++) {
        const protocol = [SYNC_PROTOCOL, PUNCH_PROTOCOL, RELAY_PROTOCOL, '/ipfs/ping/1.0.0'][n % 4]
        const signal = AbortSignal.timeout(200)
        const stream = connection.newStream(protocol ?? '', { signal, negotiateFully: false })
        opened += await stream.then(
          () => 1,
          () => 0,
        )
      }
    }
    return opened
  }

  async garbage(): Promise<void> {
    for (let n = 0; n < 200; n++)
      await this.say(randomBytes(n % 2 === 0 ? 300 : MANIFEST_BYTES + 1))
    await this.say(new Uint8Array(FRAME_BYTES))
  }
}
