/** A relay hub on a virtual clock, and clients that say to it exactly what a test wants said. */
import { fromHex, toHex } from '../../crypto/bytes.ts'
import { sha256 } from '../../crypto/hash.ts'
import { signingKeyPairFromSeed } from '../../crypto/signing.ts'
import { encodeRelayFrame, parseRelayFrames, type RelayFrame } from '../../protocol/relay.ts'
import { ANY_REGISTRY } from '../../protocol/relay-attach.ts'
import {
  controlFrame,
  isControl,
  PING_BYTES,
  parseControl,
  type RelayControl,
  type UdpOffer,
  type UdpUse,
} from '../../protocol/relay-control.ts'
import type { Excess } from '../../protocol/relay-excess.ts'
import { type HubMember, type HubOptions, RelayHub } from '../../protocol/relay-hub.ts'
import { openRelayDatagram, sealRelayDatagram } from '../../protocol/relay-udp.ts'
import { VirtualClock } from '../../simulations/world/virtual-clock.ts'

export const UDP_PORT = 3478
/** Who the relay is. */
export const RELAY = {
  key: signingKeyPairFromSeed<'rendezvous'>(new Uint8Array(32).fill(9)),
  address: ANY_REGISTRY,
}

export interface Told extends Excess {
  readonly member: string
}

/** What the relay sent to an address by UDP. */
export interface Sent {
  readonly to: string
  readonly bytes: Uint8Array
}

export function relayScene(change: Partial<HubOptions<HubMember>> = {}) {
  const clock = new VirtualClock()
  const told: Told[] = []
  const sent: Sent[] = []
  let seed = 0
  const pending: (() => void)[] = []
  const flush = (): void => {
    for (const task of pending.splice(0)) task()
  }
  const hub = new RelayHub<HubMember>({
    rate: { total: 1e9, member: 1e9 },
    forOthers: () => true,
    clock,
    random: (length) => sha256(Uint8Array.of(seed >> 8, seed++ & 255)).slice(0, length),
    attaching: { ...RELAY, memberOf: () => undefined },
    onExcess: ({ address }, excess) => told.push({ member: address, ...excess }),
    ...change,
  })
  hub.offerUdp(UDP_PORT)
  /** @param name one byte, of which the relay address is made */
  const join = (name: number, organization = 'acme') => {
    const address = toHex(new Uint8Array(9).fill(name))
    const frames: RelayFrame[] = []
    let isPaused = false
    let isEnded = false
    const port = hub.join(
      { organization, address },
      {
        isOpen: () => true,
        end: () => {
          isEnded = true
        },
        waiting: () => 0,
        send: (bytes) => {
          frames.push(...parseRelayFrames(bytes).frames)
          return true
        },
        soon: (task) => pending.push(task),
        pause: () => {
          isPaused = true
        },
        resume: () => {
          isPaused = false
        },
      },
    )
    let counter = 0
    const all = (): readonly RelayFrame[] => {
      flush()
      return frames
    }
    const controls = (): readonly RelayControl[] =>
      all()
        .filter(isControl)
        .flatMap(({ datagram }) => parseControl(datagram) ?? [])
    const offer = (): UdpOffer => {
      const found = controls().findLast(({ kind }) => kind === 'udp-offer')
      if (found?.kind !== 'udp-offer') throw new Error('nothing offered')
      return found
    }
    const keys = () => ({ session: toHex(offer().session), key: offer().key })
    const seal = (frame: RelayFrame, count = counter++): Uint8Array =>
      sealRelayDatagram(keys(), 'to-relay', count, frame)
    const arrive = (bytes: Uint8Array, from = `home ${name}`): void => {
      hub.receiveUdp(bytes, {
        name: from,
        send: (answer) => sent.push({ to: from, bytes: answer }),
      })
      flush()
    }
    const receive = (frame: RelayFrame): void => {
      port.receive(encodeRelayFrame(frame))
      flush()
    }
    flush()
    return {
      ...{ address, port, seal, arrive, offer, controls },
      isPaused: () => isPaused,
      isEnded: () => isEnded,
      /** Datagrams that came by the stream. */
      streamed: () => all().filter((frame) => !isControl(frame)),
      say: (control: RelayControl) => receive(controlFrame(control)),
      send: receive,
      sendUdp: (frame: RelayFrame, from?: string) => arrive(seal(frame), from),
      ping(from?: string, echo: Uint8Array = new Uint8Array(8), length = PING_BYTES): RelayControl {
        const before = sent.length
        const token = new Uint8Array(8).fill(7)
        arrive(seal(controlFrame({ kind: 'ping', token, echo, length })), from)
        const opened = openRelayDatagram(keys(), 'to-client', sent[before]?.bytes ?? token)
        const control = opened && parseControl(opened.datagram)
        if (control === undefined) throw new Error('no pong')
        return control
      },
      /** Proves the address, and asks to be sent datagrams by UDP. */
      useUdp(use: UdpUse = 'on', from?: string): void {
        const pong = this.ping(from)
        if (pong.kind === 'pong') this.ping(from, pong.challenge)
        this.say({ kind: 'udp-use', use })
      },
      /** Datagrams for it that went by UDP, with the address they went to. */
      received: () =>
        sent.flatMap(({ to, bytes }) => {
          const opened = openRelayDatagram(keys(), 'to-client', bytes)
          return opened === undefined || isControl(opened) ? [] : [{ to, peer: opened.peer }]
        }),
      leave: () => hub.leave(port),
    }
  }
  return { ...{ clock, hub, told, sent, join }, zero: fromHex('00'.repeat(8)) }
}
