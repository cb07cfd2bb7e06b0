import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { concat } from '../../../crypto/bytes.ts'
import { randomBytes } from '../../../crypto/random.ts'
import { encodeStun, parseStun } from '../../../protocol/stun.ts'
import { startStunResponder } from '../../../registry/rendezvous/stun-responder.ts'
import { systemClock } from '../../../registry/system-clock.ts'

const rule = suite('STUN responder')

async function scene(host: string) {
  const log = () => undefined
  const responder = await startStunResponder({
    listen: [{ host, port: 0 }],
    clock: systemClock,
    log,
  })
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4').bind(0, host)
  await once(socket, 'listening')
  const received: Uint8Array[] = []
  socket.on('message', (message) => received.push(Uint8Array.from(message)))
  const { port } = responder.bound[0] ?? { port: 0 }
  return {
    ...{ responder, socket, received },
    send: (bytes: Uint8Array) => socket.send(bytes, port, host),
    async answers(count: number): Promise<readonly Uint8Array[]> {
      for (let waited = 0; received.length < count && waited < 100; waited++) {
        await systemClock.sleep(5)
      }
      return received
    },
    async [Symbol.asyncDispose]() {
      socket.close()
      await responder[Symbol.asyncDispose]()
    },
  }
}

for (const host of ['127.0.0.1', '::1']) {
  rule(`tells whence a request came: ${host}`, async () => {
    await using here = await scene(host)
    const transactionId = randomBytes(12)
    here.send(
      encodeStun({
        kind: 'request',
        transactionId,
        software: 'a request that is as long as its answer',
      }),
    )
    const [answer] = await here.answers(1)
    const message = parseStun(answer ?? new Uint8Array())
    assert.is(message.kind, 'success')
    assert.equal(message.transactionId, transactionId)
    assert.equal(message.mappedAddress, { address: host, port: here.socket.address().port })
    assert.is(message.hasFingerprint, true)
    assert.is(message.software, 'nexodus')
  })
}

/** A binding request of 20 bytes, without FINGERPRINT, with what follows. */
function bareRequest(...attributes: number[]): Uint8Array {
  const head = Uint8Array.of(0, 1, 0, attributes.length, 0x21, 0x12, 0xa4, 0x42)
  return concat(head, randomBytes(12), Uint8Array.from(attributes))
}

/** As agents ask: as long as any answer. */
const asking = () =>
  encodeStun({
    kind: 'request',
    transactionId: randomBytes(12),
    software: 'nexodus asks where it is',
  })

rule('answers an agent with no more than it was asked with', async () => {
  for (const host of ['127.0.0.1', '::1']) {
    await using here = await scene(host)
    const request = asking()
    here.send(request)
    const [answer = new Uint8Array()] = await here.answers(1)
    assert.is(parseStun(answer).kind, 'success')
    assert.ok(answer.length <= request.length, `${answer.length} to ${request.length}`)
  }
})

rule('answers short requests, whose answers are longer, five times a second', async () => {
  await using here = await scene('127.0.0.1')
  for (let count = 0; count < 100; count++) here.send(bareRequest())
  for (let count = 0; count < 20; count++) here.send(asking())
  const answers = await here.answers(31)
  const longer = answers.filter((each) => parseStun(each).software === undefined)
  assert.ok(longer.length >= 5 && longer.length <= 10, `${longer.length} of ${answers.length}`)
  assert.ok(answers.length >= 20 + 5)
})

rule('never answers with more than 3 times the request', async () => {
  for (const host of ['127.0.0.1', '::1']) {
    await using here = await scene(host)
    const request = bareRequest()
    here.send(request)
    const [answer] = await here.answers(1)
    assert.ok((answer?.length ?? 0) > 0)
    assert.ok((answer?.length ?? 0) <= 3 * request.length, `${answer?.length}`)
  }
})

rule('answers what it must understand and does not by error 420', async () => {
  await using here = await scene('127.0.0.1')
  here.send(bareRequest(0x7f, 0xff, 0, 4, 1, 2, 3, 4))
  const [answer] = await here.answers(1)
  const message = parseStun(answer ?? new Uint8Array())
  assert.is(message.error?.code, 420)
  assert.equal(message.unknownAttributes, [0x7fff])
})

rule('is silent to all that is no binding request', async () => {
  await using here = await scene('127.0.0.1')
  const transactionId = randomBytes(12)
  const good = encodeStun({ kind: 'request', transactionId })
  const flipped = Uint8Array.from(good)
  flipped[good.length - 1] = (flipped[good.length - 1] ?? 0) ^ 1
  const silent = [
    new Uint8Array(0),
    randomBytes(100),
    good.subarray(0, 19),
    good.subarray(0, good.length - 4),
    flipped,
    Uint8Array.of(1, 0, 0, 0, ...randomBytes(144)),
    encodeStun({ kind: 'indication', transactionId }),
    encodeStun({
      kind: 'success',
      transactionId,
      mappedAddress: { address: '192.0.2.1' as never, port: 1 },
    }),
  ]
  for (const bytes of silent) here.send(bytes)
  here.send(good)
  assert.is((await here.answers(2)).length, 1)
})

rule('answers one source 200 times a second and no more', async () => {
  await using here = await scene('127.0.0.1')
  for (let count = 0; count < 500; count++) {
    here.send(asking())
    if (count % 50 === 0) await systemClock.sleep(1)
  }
  const { length } = await here.answers(401)
  assert.ok(length >= 150 && length <= 400, `${length}`)
})

const elsewhere = suite('STUN responder, RESPONSE-PORT (SPEC §10.6)')
const PADDED = { kind: 'request' as const, software: 'a request of its length' }

/** A scene, and a second socket of the same host that asks nothing. */
async function twoPorts(host: string) {
  const here = await scene(host)
  const other = createSocket(host.includes(':') ? 'udp6' : 'udp4').bind(0, host)
  await once(other, 'listening')
  const arrived: Uint8Array[] = []
  other.on('message', (message) => arrived.push(Uint8Array.from(message)))
  const { port } = other.address()
  return {
    ...{ here, arrived, port },
    request: (change: object = {}) =>
      encodeStun({ ...PADDED, transactionId: randomBytes(12), responsePort: port, ...change }),
    async [Symbol.asyncDispose]() {
      other.close()
      await here[Symbol.asyncDispose]()
    },
  }
}

for (const host of ['127.0.0.1', '::1']) {
  elsewhere(
    `answers to another port of the asker, with no more than was asked: ${host}`,
    async () => {
      await using two = await twoPorts(host)
      const request = two.request()
      two.here.send(request)
      for (let waited = 0; two.arrived.length === 0 && waited < 200; waited++)
        await systemClock.sleep(5)
      const [answer = new Uint8Array()] = two.arrived
      assert.ok(answer.length > 0 && answer.length <= request.length, `${answer.length}`)
      const { mappedAddress } = parseStun(answer)
      assert.equal(mappedAddress, { address: host, port: two.here.socket.address().port })
      assert.is(two.here.received.length, 0)
    },
  )
}

elsewhere('does not answer a request that is shorter than its answer', async () => {
  await using two = await twoPorts('::1')
  two.here.send(two.request({ software: undefined }))
  two.here.send(encodeStun({ kind: 'request', transactionId: randomBytes(12) }))
  await two.here.answers(1)
  await systemClock.sleep(50)
  assert.equal([two.arrived.length, two.here.received.length], [0, 1])
})

elsewhere('refuses ports of services by error 400, to the port that asked', async () => {
  await using two = await twoPorts('127.0.0.1')
  for (const responsePort of [1, 53, 123, 1023]) two.here.send(two.request({ responsePort }))
  const answers = await two.here.answers(4)
  assert.equal(
    answers.map((answer) => parseStun(answer).error?.code),
    [400, 400, 400, 400],
  )
})

elsewhere('says that a port is none, or of a wrong form, to nobody', async () => {
  await using two = await twoPorts('127.0.0.1')
  two.here.send(bareRequest(0x00, 0x27, 0, 2, 0, 0, 0, 0))
  two.here.send(bareRequest(0x00, 0x27, 0, 3, 1, 1, 1, 0))
  two.here.send(encodeStun({ kind: 'request', transactionId: randomBytes(12) }))
  assert.is((await two.here.answers(2)).length, 1)
})

elsewhere('answers so five times a second, and the port that asks as always', async () => {
  await using two = await twoPorts('127.0.0.1')
  for (let count = 0; count < 100; count++) two.here.send(two.request())
  for (let count = 0; count < 20; count++) two.here.send(asking())
  assert.is((await two.here.answers(20)).length, 20)
  assert.ok(two.arrived.length >= 5 && two.arrived.length <= 10, `${two.arrived.length}`)
})

elsewhere(
  'answers with error 420 what else it does not understand, not to another port',
  async () => {
    await using two = await twoPorts('127.0.0.1')
    const port = [two.port >> 8, two.port & 255]
    two.here.send(bareRequest(0, 0x27, 0, 2, ...port, 0, 0, 0x7f, 0xff, 0, 0))
    const [answer = new Uint8Array()] = await two.here.answers(1)
    assert.is(parseStun(answer).error?.code, 420)
    assert.is(two.arrived.length, 0)
  },
)

elsewhere.run()

rule('a taken port is named', async () => {
  await using here = await scene('127.0.0.1')
  const [taken = { host: '', port: 0 }] = here.responder.bound
  const error = await startStunResponder({
    listen: [taken],
    clock: systemClock,
    log: () => undefined,
  }).catch((cause: unknown) => cause)
  assert.match(String(error), `--stun-listen 127.0.0.1:${taken.port}: the port is taken`)
})

rule.run()
