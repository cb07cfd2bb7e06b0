/** A relay that members attach to, and exactly what a test wants them to send. */
import { agreementKeyPairFromPrivate } from '../../crypto/agreement.ts'
import { signingKeyPairFromSeed } from '../../crypto/signing.ts'
import { type DeviceId, deviceIdOf, parseOrganizationId } from '../../protocol/keys.ts'
import { relayAddressOf } from '../../protocol/relay.ts'
import {
  ANY_REGISTRY,
  openAttachAnswer,
  relayIdOf,
  sealAttachRequest,
} from '../../protocol/relay-attach.ts'
import { controlFrame, isControl, PING_BYTES, parseControl } from '../../protocol/relay-control.ts'
import type { HubMember, HubOptions } from '../../protocol/relay-hub.ts'
import type { HubPipe } from '../../protocol/relay-hub-port.ts'
import { openRelayDatagram, type SessionKey, sealRelayDatagram } from '../../protocol/relay-udp.ts'
import { RELAY, relayScene } from './relay-scene.ts'
import { transportMessage } from './wireguard-message.ts'

export const ORGANIZATION = parseOrganizationId('a'.repeat(26))
const RELAYS = new Set([relayIdOf(RELAY.key.publicKey)])
export const datagram = transportMessage('hello')

/** A stream's end that takes everything at once. */
export function pipe(frames: Uint8Array[]): HubPipe {
  return {
    ...{ isOpen: () => true, end: () => undefined, waiting: () => 0 },
    ...{ pause: () => undefined, resume: () => undefined },
    send: (bytes) => frames.push(bytes) > 0,
    soon: (task) => queueMicrotask(task),
  }
}

/** A relay whose members are those that are not `out`, and what they send to it. */
export function attachScene(change: Partial<HubOptions<HubMember>> = {}) {
  const out = new Set<DeviceId>()
  const looks: DeviceId[] = []
  const base = relayScene({
    attaching: {
      ...RELAY,
      memberOf: (organization, device) => {
        looks.push(device)
        return organization === ORGANIZATION && !out.has(device)
          ? { organization, address: relayAddressOf(device) }
          : undefined
      },
    },
    ...change,
  })
  const member = (seed: number) => {
    const key = signingKeyPairFromSeed<'device'>(new Uint8Array(32).fill(seed))
    const device = deviceIdOf(key.publicKey)
    const ephemeral = agreementKeyPairFromPrivate(new Uint8Array(32).fill(seed + 100))
    let sentAtMs = 1000
    let counter = 0
    let keys: SessionKey | undefined
    const arrive = (bytes: Uint8Array, from = `home ${seed}`): readonly Uint8Array[] => {
      const before = base.sent.length
      base.hub.receiveUdp(bytes, {
        name: from,
        send: (answer) => base.sent.push({ to: from, bytes: answer }),
      })
      return base.sent.slice(before).map(({ bytes: sent }) => sent)
    }
    const request = (fields: object = {}) => {
      sentAtMs += 1
      const own = { to: ANY_REGISTRY, organization: ORGANIZATION, sentAtMs, ...fields }
      return sealAttachRequest({ ...own, ephemeral: ephemeral.publicKey }, key)
    }
    const seal = (frame: { peer: string; datagram: Uint8Array }): Uint8Array => {
      if (keys === undefined) throw new Error('not attached')
      counter += 1
      return sealRelayDatagram(keys, 'to-relay', counter, frame)
    }
    return {
      ...{ device, address: relayAddressOf(device), arrive, request, seal },
      /** Asks, and takes the answer; undefined: none came. */
      ask(fields: object = {}, from?: string): SessionKey | undefined {
        const bytes = request(fields)
        const [answer = new Uint8Array(0)] = arrive(bytes, from)
        const opened = openAttachAnswer(answer, bytes, ephemeral.privateKey, RELAYS)
        if (opened !== undefined) keys = opened.keys
        return opened?.keys
      },
      use(session: SessionKey): void {
        keys = session
      },
      ping(echo: Uint8Array = new Uint8Array(8), from?: string): Uint8Array | undefined {
        const token = new Uint8Array(8).fill(3)
        const frame = controlFrame({ kind: 'ping', token, echo, length: PING_BYTES })
        const [pong = new Uint8Array(0)] = arrive(seal(frame), from)
        const opened = keys && openRelayDatagram(keys, 'to-client', pong)
        const control = opened && isControl(opened) ? parseControl(opened.datagram) : undefined
        return control?.kind === 'pong' ? control.challenge : undefined
      },
      send: (to: string, from?: string) => arrive(seal({ peer: to, datagram }), from),
      /** From whom, and where it was sent to. */
      received: () =>
        base.sent.flatMap(({ to, bytes }) => {
          const opened = keys && openRelayDatagram(keys, 'to-client', bytes)
          if (opened === undefined || isControl(opened)) return []
          return [`${opened.datagram.length === 0 ? 'not ' : ''}${opened.peer} at ${to}`]
        }),
    }
  }
  return { ...base, member, out, looks }
}
