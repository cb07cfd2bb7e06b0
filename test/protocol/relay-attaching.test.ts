import { setImmediate as turn } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
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
import { ATTACHED_MS } from '../../protocol/relay-attached-port.ts'
import { controlFrame, isControl, PING_BYTES, parseControl } from '../../protocol/relay-control.ts'
import type { HubMember, HubOptions } from '../../protocol/relay-hub.ts'
import type { HubPipe } from '../../protocol/relay-hub-port.ts'
import { openRelayDatagram, type SessionKey, sealRelayDatagram } from '../../protocol/relay-udp.ts'
import { RELAY, relayScene } from '../support/relay-scene.ts'
import { transportMessage } from '../support/wireguard-message.ts'

const ORGANIZATION = parseOrganizationId('a'.repeat(26))
const RELAYS = new Set([relayIdOf(RELAY.key.publicKey)])
const datagram = transportMessage('hello')
const rule = suite('attached members of a relay (SPEC §12.7)')

/** A stream's end that takes everything at once. */
function pipe(frames: Uint8Array[]): HubPipe {
  return {
    ...{ isOpen: () => true, end: () => undefined, waiting: () => 0 },
    ...{ pause: () => undefined, resume: () => undefined },
    send: (bytes) => frames.push(bytes) > 0,
    soon: (task) => queueMicrotask(task),
  }
}

/** A relay whose members are those that are not `out`, and what they send to it. */
function scene(change: Partial<HubOptions<HubMember>> = {}) {
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

rule('send to each other after one answer, and not before they have claimed it', () => {
  const { member } = scene()
  const [a, b] = [member(1), member(2)]
  assert.ok(a.ask() && b.ask())
  a.send(b.address)
  assert.equal(b.received(), [], 'b may not be where the answer went')
  b.ping()
  a.send(b.address)
  b.send(a.address)
  assert.equal(b.received(), [`${a.address} at home 2`])
  assert.equal(a.received(), [`not ${b.address} at home 1`, `${b.address} at home 1`])
})

rule('reach whoever has a stream, and are reached from there', () => {
  const { member, join } = scene()
  const a = member(1)
  const b = join(2, ORGANIZATION)
  a.ask()
  a.send(b.address)
  b.send({ peer: a.address, datagram })
  assert.equal(b.streamed(), [{ peer: a.address, datagram }])
  assert.equal(a.received(), [`${b.address} at home 1`])
})

rule('are reached by it though an older stream has not ended', async () => {
  const { member, hub } = scene()
  const [a, b] = [member(1), member(2)]
  const dead: Uint8Array[] = []
  hub.join({ organization: ORGANIZATION, address: b.address }, pipe(dead))
  for (const each of [a, b]) each.ask()
  for (const each of [a, b]) each.ping()
  await turn()
  const before = dead.length
  a.send(b.address)
  await turn()
  assert.equal([dead.length, b.received()], [before, [`${a.address} at home 2`]])
})

rule('strangers, other organizations, other relays and forged requests get no answer', () => {
  const { member, out, sent } = scene()
  const [a, stranger] = [member(1), member(2)]
  out.add(stranger.device)
  assert.not(stranger.ask())
  assert.not(a.ask({ organization: parseOrganizationId('e'.repeat(26)) }))
  assert.not(a.ask({ to: '11'.repeat(9) }))
  const forged = a.request()
  forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1
  a.arrive(forged)
  assert.is(sent.length, 0)
  assert.ok(a.ask())
})

rule('nothing that was recorded is answered again, nor what is older', () => {
  const { member, sent } = scene()
  const a = member(1)
  const [older, newer] = [a.request(), a.request()]
  assert.is(a.arrive(newer).length, 1)
  assert.equal([a.arrive(newer, 'thief'), a.arrive(older, 'thief')], [[], []])
  assert.is(sent.length, 1)
})

rule('so many requests are looked at closely, of one and of all', async () => {
  const { member, clock } = scene()
  const flood = member(1)
  const forged = (): Uint8Array => flood.request().fill(0, -64)
  for (let n = 0; n < 100; n += 1) flood.arrive(forged())
  assert.not(flood.ask(), 'its own are used up by whoever names it')
  assert.ok(member(2).ask(), 'those of others are not')
  await clock.advance(1000)
  assert.ok(flood.ask())
})

rule(
  'another answer that is claimed takes the place of the first, one that is not does not',
  () => {
    const { member } = scene()
    const [a, b] = [member(1), member(2)]
    const first = a.ask()
    a.ping()
    const second = a.ask()
    if (first === undefined || second === undefined) throw new Error('no answer')
    b.ask()
    b.ping()
    a.use(first)
    a.send(b.address)
    assert.is(b.received().length, 1)
    a.use(second)
    a.ping()
    a.use(first)
    a.send(b.address)
    assert.is(b.received().length, 1, 'the first has ended')
  },
)

rule('a stream takes over: it alone brings, and what is under way is still passed on', async () => {
  const { member, hub } = scene()
  const [a, b] = [member(1), member(2)]
  for (const each of [a, b]) each.ask()
  for (const each of [a, b]) each.ping()
  const frames: Uint8Array[] = []
  const stream = hub.join({ organization: ORGANIZATION, address: b.address }, pipe(frames))
  await turn()
  const offered = frames.length
  a.send(b.address)
  await turn()
  assert.equal([frames.length > offered, b.received()], [true, []])
  b.send(a.address)
  assert.is(a.received().length, 1)
  hub.leave(stream)
  a.send(b.address)
  assert.equal(b.received(), [], 'whoever had a stream attaches anew')
})

rule('is forgotten where nobody claims it, or nothing comes for half a minute', async () => {
  const { member, hub, clock } = scene()
  const [a, b] = [member(1), member(2)]
  a.ask()
  assert.is(hub.sessions, 1)
  await clock.advance(6000)
  assert.is(hub.sessions, 0)
  b.ask()
  b.ping()
  await clock.advance(ATTACHED_MS - 1000)
  b.ping()
  await clock.advance(ATTACHED_MS - 1000)
  assert.is(hub.sessions, 1)
  await clock.advance(2000)
  assert.is(hub.sessions, 0)
})

rule('whoever is a member no more is cut off within a second', async () => {
  const { member, out, clock, hub } = scene()
  const [a, b] = [member(1), member(2)]
  for (const each of [a, b]) each.ask()
  for (const each of [a, b]) each.ping()
  out.add(a.device)
  await clock.advance(1000)
  b.send(a.address)
  a.send(b.address)
  assert.equal([a.received(), b.received(), hub.sessions], [[], [], 1])
})

rule('who moves is sent nothing before the new address is proved', () => {
  const { member } = scene()
  const [a, b] = [member(1), member(2)]
  for (const each of [a, b]) each.ask()
  const challenge = b.ping()
  b.ping(challenge, 'elsewhere')
  a.send(b.address)
  assert.equal(b.received(), [])
  const fresh = b.ping(challenge, 'elsewhere')
  b.ping(fresh, 'elsewhere')
  a.send(b.address)
  assert.equal(b.received(), [`${a.address} at elsewhere`])
})

rule('who sends too much loses the session, and is named', () => {
  const { member, hub, told } = scene({ rate: { total: 1e6, member: 1e6 } })
  const [flood, b] = [member(1), member(2)]
  for (const each of [flood, b]) each.ask()
  for (const each of [flood, b]) each.ping()
  const large = transportMessage(new Uint8Array(1400))
  for (let n = 0; n < 1500 && hub.sessions === 2; n += 1)
    flood.arrive(flood.seal({ peer: b.address, datagram: large }))
  assert.is(hub.sessions, 1)
  assert.equal(
    told.map(({ member: name, reason }) => [name, reason]),
    [[flood.address, 'over-rate']],
  )
})

rule('a relay without the role attaches nobody', () => {
  assert.not(
    scene({ forOthers: () => false })
      .member(1)
      .ask(),
  )
})

rule.run()
