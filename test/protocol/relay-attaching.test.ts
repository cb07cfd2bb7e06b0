import { setImmediate as turn } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseOrganizationId } from '../../protocol/keys.ts'
import { ATTACHED_MS } from '../../protocol/relay-attached-port.ts'
import { controlFrame } from '../../protocol/relay-control.ts'
import { datagram, ORGANIZATION, pipe, attachScene as scene } from '../support/attach-scene.ts'
import { transportMessage } from '../support/wireguard-message.ts'

const rule = suite('attached members of a relay (SPEC §12.7)')

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

rule(
  'nobody uses up what a device may ask by forging it, and all together only so much',
  async () => {
    const { member, clock, sent } = scene()
    const flood = member(1)
    const forged = (): Uint8Array => flood.request().fill(0, -64)
    for (let n = 0; n < 100; n += 1) flood.arrive(forged())
    assert.ok(flood.ask())
    for (let n = 0; n < 200; n += 1) flood.arrive(forged())
    assert.not(member(2).ask(), 'their organization has no more')
    await clock.advance(1000)
    const before = sent.length
    for (let n = 0; n < 90; n += 1) flood.ask()
    assert.is(sent.length - before, 8, 'answers of one device')
  },
)

rule('a clock far ahead is not believed, so that it is heard when it is right again', () => {
  const { member, clock } = scene()
  const a = member(1)
  assert.not(a.ask({ sentAtMs: clock.nowMs() + 600_000 }))
  assert.ok(a.ask({ sentAtMs: clock.nowMs() + 200_000 }))
})

rule('a claim from elsewhere proves nothing', () => {
  const { member } = scene()
  const [a, b] = [member(1), member(2)]
  for (const each of [a, b]) each.ask()
  b.ping()
  a.ping(undefined, 'victim')
  b.send(a.address)
  assert.equal(a.received(), [])
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
  assert.is(b.received().length, 1, 'the session goes on')
})

rule('a claim does not take the place of a stream that came since its answer', async () => {
  const { member, hub, clock } = scene()
  const [a, b] = [member(1), member(2)]
  for (const each of [a, b]) each.ask()
  a.ping()
  await clock.advance(10)
  const frames: Uint8Array[] = []
  hub.join({ organization: ORGANIZATION, address: b.address }, pipe(frames))
  b.ping()
  await turn()
  const offered = frames.length
  a.send(b.address)
  await turn()
  assert.equal([frames.length > offered, b.received()], [true, []])
})

rule('ends where the member says so', () => {
  const { member, hub } = scene()
  const [a, b] = [member(1), member(2)]
  for (const each of [a, b]) each.ask()
  for (const each of [a, b]) each.ping()
  b.arrive(b.seal(controlFrame({ kind: 'udp-use', use: 'off' })))
  a.send(b.address)
  assert.equal([hub.sessions, b.received()], [1, []])
  assert.equal(a.received(), [`not ${b.address} at home 1`])
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

rule('who sends too much loses the session for a minute, and is named', async () => {
  const { member, hub, told, clock } = scene({ rate: { total: 1e6, member: 1e6 } })
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
  assert.not(flood.ask())
  await clock.advance(60_000)
  assert.ok(flood.ask())
})

rule('a relay without the role attaches nobody', () => {
  assert.not(
    scene({ forOthers: () => false })
      .member(1)
      .ask(),
  )
})

rule.run()
