/** Two sprayers with authenticated checks, and the hard side's NAT between them, in memory on a virtual clock. */
import { CheckRecord, type RecordedChecks } from '../../../../agent/path/check-record.ts'
import { newChecks } from '../../../../agent/path/checks.ts'
import { initialState, type PathState } from '../../../../agent/path/path-state.ts'
import type { SpraySide } from '../../../../agent/path/spray/spray-state.ts'
import { Sprayer } from '../../../../agent/path/spray/sprayer.ts'
import { type AgreementKeyPair, generateAgreementKeyPair } from '../../../../crypto/agreement.ts'
import { randomBytes } from '../../../../crypto/random.ts'
import { generateSigningKeyPair } from '../../../../crypto/signing.ts'
import { type Endpoint, formatEndpoint } from '../../../../protocol/address.ts'
import { type DeviceId, deviceIdOf } from '../../../../protocol/keys.ts'
import { VirtualClock } from '../../../../simulations/world/virtual-clock.ts'
import { EASY_SIDE, HARD_ADDRESS, HARD_SIDE, TARGET } from './spray-world.ts'

/** One way. */
const WAY_MS = 20
/** Of nft. */
const DIVERT_MS = 30

export interface Member {
  readonly device: DeviceId
  readonly keys: AgreementKeyPair
  readonly checks: RecordedChecks
}

export interface SprayerPair {
  readonly hard: Member
  readonly easy: Member
  readonly clock: VirtualClock
  /** What happened, in order: `divert`, `answer`, `heard …`, `log …`. */
  readonly happened: string[]
  /** Ports of the hard side's sockets that are open. */
  readonly open: Set<number>
  /** A datagram reaches that socket of the hard side. */
  arrive(socket: number, datagram: Uint8Array, from: Endpoint): void
  /** What left the hard side's sockets since then: all of it. */
  readonly sent: { readonly socket: number; readonly datagram: Uint8Array; readonly to: Endpoint }[]
  run(ms: number): Promise<void>
  close(): void
}

export function newMember(): Member {
  const device = deviceIdOf(generateSigningKeyPair<'device'>().publicKey)
  const keys = generateAgreementKeyPair()
  const own = newChecks({ device, wireguardKey: keys, random: randomBytes })
  return { device, keys, checks: new CheckRecord().watching(own) }
}

/** @param divert what the host does, unless it works
 *  @param isDeaf probes meet no mapping */
export function newSprayerPair(
  options: { readonly divert?: () => Promise<void>; readonly isDeaf?: boolean } = {},
): SprayerPair {
  const clock = new VirtualClock()
  const [hard, easy] = [newMember(), newMember()]
  hard.checks.setPeers(new Map([[easy.device, easy.keys.publicKey]]))
  easy.checks.setPeers(new Map([[hard.device, hard.keys.publicKey]]))
  const happened: string[] = []
  const open = new Set<number>()
  const sent: { socket: number; datagram: Uint8Array; to: Endpoint }[] = []
  /** External ports: of the hard side's sockets, by their order. */
  const external = new Map<number, number>()
  let onDatagram = (_index: number, _datagram: Uint8Array, _from: Endpoint): void => undefined

  const stateOf = (): PathState => ({
    ...initialState(true, [], 0),
    phase: { kind: 'relayed' },
    phaseSinceMs: 0,
    bytes: { received: Math.floor(clock.monotonicMs()), sent: 0 },
  })
  const common = (side: string, own: SpraySide, self: Member) => ({
    checks: self.checks,
    own: () => own,
    stateOf,
    heardFrom: (_device: DeviceId, endpoint: Endpoint) =>
      void happened.push(`${side} heard from ${formatEndpoint(endpoint)}`),
    onProbing: () => undefined,
    clock,
    random: randomBytes,
    log: (level: string, event: string) => void happened.push(`${side} ${level} ${event}`),
  })
  const socketOf = (index: number) => ({
    port: 30_000 + index,
    onDatagram: () => undefined,
    send: (datagram: Uint8Array, to: Endpoint) => {
      sent.push({ socket: index, datagram, to })
      if (!external.has(index)) external.set(index, 1024 + ((index * 251) % 64_512))
      const from = { address: HARD_ADDRESS, port: external.get(index) ?? 0 }
      clock.after(WAY_MS, () => toEasy(datagram, from))
    },
    close: () => void open.delete(30_000 + index),
  })
  const hardSprayer = new Sprayer({
    ...common('hard', HARD_SIDE, hard),
    host: {
      divert: async (_remote, { port }) => {
        await clock.sleep(DIVERT_MS)
        await options.divert?.()
        happened.push(`divert to ${port}`)
      },
      restore: async () => void happened.push('restore'),
    },
    send: () => undefined,
    say: (_device, spray) => void clock.after(50, () => easySprayer.told(hard.device, spray)),
    openSockets: async (_family, count, listener) => {
      onDatagram = listener
      const sockets = Array.from({ length: count }, (_, index) => socketOf(index))
      for (const { port } of sockets) open.add(port)
      const close = (kept?: number) => {
        for (const [index, socket] of sockets.entries()) if (index !== kept) socket.close()
      }
      return {
        at: (index) => sockets[index],
        keep: (index) => {
          close(index)
          return sockets[index]
        },
        close,
      }
    },
  })
  const easySprayer = new Sprayer({
    ...common('easy', EASY_SIDE, easy),
    host: { divert: async () => undefined, restore: async () => undefined },
    send: (datagram, { port }) => {
      const met = [...external].find(([, mapped]) => mapped === port)?.[0]
      if (met !== undefined && options.isDeaf !== true)
        clock.after(WAY_MS, () => onDatagram(met, datagram, TARGET))
    },
    say: (_device, spray) => void clock.after(50, () => hardSprayer.told(easy.device, spray)),
  })
  /** The easy side's NAT lets in only what was asked. */
  const toEasy = (datagram: Uint8Array, from: Endpoint): void => {
    if (!happened.some((line) => line === 'easy info path.spray-started')) return
    const received = easy.checks.receive(datagram, from, clock.monotonicMs())
    if (received.kind !== 'answer') return
    happened.push(`answer from ${formatEndpoint(from)}`)
    easySprayer.answered(received.device, from)
  }
  const peer = ({ device, keys }: Member, side: SpraySide) => ({
    ...{ device, name: 'peer', wireguardKey: keys.publicKey },
    ...side,
  })
  hardSprayer.setPeers([peer(easy, EASY_SIDE)])
  easySprayer.setPeers([peer(hard, HARD_SIDE)])
  return {
    ...{ hard, easy, clock, happened, open, sent },
    arrive: (socket, datagram, from) => onDatagram(socket, datagram, from),
    run: (ms) => clock.advance(ms),
    close: () => {
      hardSprayer.close()
      easySprayer.close()
    },
  }
}
