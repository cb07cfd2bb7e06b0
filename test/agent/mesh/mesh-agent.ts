/** An agent that is a mesh and a state and nothing else: the daemon's glue, as tests need it. */

import type { AttachTarget } from '../../../agent/mesh/attached-relays.ts'
import { peerIdOf } from '../../../agent/mesh/device-peer.ts'
import { type Mesh, type MeshOptions, startMesh } from '../../../agent/mesh/mesh.ts'
import { Relays } from '../../../agent/mesh/relays.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import { randomBytes } from '../../../crypto/random.ts'
import type { IpAddress } from '../../../protocol/address.ts'
import { membersOf } from '../../../protocol/belief.ts'
import { openEnvelope } from '../../../protocol/envelope.ts'
import type { DeviceId } from '../../../protocol/keys.ts'
import type { Log } from '../../../protocol/log.ts'
import type { Punch } from '../../../protocol/punch.ts'
import { parseRelayRate } from '../../../protocol/relay-rate.ts'
import { apply, type OrganizationState } from '../../../protocol/state.ts'
import type { TestDevice, TestOrganization } from '../../support/organization.ts'
import { textOf } from '../../support/wireguard-message.ts'

export interface LogLine {
  readonly level: string
  readonly event: string
  readonly fields: Record<string, unknown>
}

export interface MeshAgent extends AsyncDisposable {
  readonly device: TestDevice
  readonly mesh: Mesh
  readonly relays: Relays
  state(): OrganizationState
  /** Applies an envelope as if it came from outside, and follows it. */
  learn(bytes: Uint8Array): void
  /** Applies and tells. */
  publish(bytes: Uint8Array): Promise<void>
  /** A loopback multiaddr with the peer id. */
  address(): string
  readonly datagrams: { from: DeviceId; text: string }[]
  readonly punches: { from: DeviceId; punch: Punch }[]
  readonly lines: LogLine[]
}

export interface AgentOptions extends Partial<MeshOptions> {
  readonly initial: OrganizationState
  /** Multiaddrs of members by name, in place of those of endpoint updates. */
  readonly known?: Readonly<Record<string, readonly string[]>>
  /** Overlay addresses of members by name: there is no tunnel, and nothing may be dialled outside this machine. */
  readonly overlay?: Readonly<Record<string, readonly IpAddress[]>>
  /** Relays to attach to. */
  readonly targets?: () => readonly AttachTarget[]
}

const DEBUG = process.env['MESH_DEBUG'] !== undefined

export async function startAgent(
  organization: Pick<TestOrganization, 'id' | 'device'>,
  name: string,
  { initial, known = {}, overlay = {}, targets = () => [], ...changed }: AgentOptions,
): Promise<MeshAgent> {
  const device = organization.device(name)
  const datagrams: MeshAgent['datagrams'] = []
  const punches: MeshAgent['punches'] = []
  const lines: LogLine[] = []
  let state = initial
  let mesh: Mesh | undefined
  const log: Log = (level, event, fields = {}) => {
    lines.push({ level, event, fields })
    if (DEBUG)
      console.log(Math.round(performance.now()), name, level, event, JSON.stringify(fields))
  }
  const relays = new Relays({
    deviceKey: device.key,
    organization: organization.id,
    state: () => state,
    targets,
    onDatagram: (from, datagram) => datagrams.push({ from, text: textOf(datagram) }),
    onRelayDoubt: () => undefined,
    onChange: () => undefined,
    ...{ clock: systemClock, random: randomBytes, log },
  })
  const follow = (): void => {
    const peers = [...membersOf(state, systemClock.now()).values()]
      .filter(({ certificate }) => certificate.device !== device.id)
      .map(({ certificate, endpoints }) => ({
        device: certificate.device,
        name: certificate.name,
        updateSequence: endpoints?.body.sequence ?? 0,
        multiaddrs: known[certificate.name] ?? endpoints?.body.multiaddrs ?? [],
        overlayAddresses: overlay[certificate.name] ?? [],
      }))
    relays.setPeers(peers)
    mesh?.setPeers(peers)
  }
  const adopt = (next: OrganizationState): void => {
    if (next === state) return
    state = next
    follow()
  }
  mesh = await startMesh({
    deviceKey: device.key,
    organization: organization.id,
    state: () => state,
    receive: (envelope) => {
      const verdict = apply(state, envelope, systemClock.now())
      adopt(verdict.state)
      return verdict.ok ? 'accept' : 'ignore'
    },
    learn: adopt,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    rendezvous: () => [],
    relayServer: false,
    relayRate: parseRelayRate('1000'),
    mdns: false,
    relays,
    onPunch: (from, punch) => punches.push({ from, punch }),
    evidence: () => Promise.reject(new Error('nothing is known')),
    exitAnswer: async () => undefined,
    onChange: () => undefined,
    clock: systemClock,
    random: randomBytes,
    log,
    ...changed,
  })
  follow()
  const started = mesh
  return {
    device,
    mesh: started,
    relays,
    datagrams,
    punches,
    lines,
    state: () => state,
    learn: (bytes) => adopt(apply(state, openEnvelope(bytes), systemClock.now()).state),
    publish: async (bytes) => {
      adopt(apply(state, openEnvelope(bytes), systemClock.now()).state)
      await started.publish(bytes)
    },
    address: () => `${started.multiaddrs()[0] ?? ''}/p2p/${peerIdOf(device.id).toString()}`,
    [Symbol.asyncDispose]: async () => {
      await started[Symbol.asyncDispose]()
      relays[Symbol.dispose]()
    },
  }
}

/** Resolves to the milliseconds it took; throws after `limitMs`. */
export async function until(what: string, holds: () => boolean, limitMs = 8000): Promise<number> {
  const start = performance.now()
  while (!holds()) {
    if (performance.now() - start > limitMs) throw new Error(`not within ${limitMs} ms: ${what}`)
    await systemClock.sleep(5)
  }
  return performance.now() - start
}

export function linked(agent: MeshAgent, to: MeshAgent): boolean {
  return agent.mesh.connections().some(({ device }) => device === to.device.id)
}

export function saysWarning(agent: MeshAgent, event: string): readonly LogLine[] {
  return agent.lines.filter((line) => line.event === event && line.level === 'warn')
}
