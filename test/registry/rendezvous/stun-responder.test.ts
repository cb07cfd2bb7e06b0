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
    here.send(encodeStun({ kind: 'request', transactionId }))
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
    here.send(encodeStun({ kind: 'request', transactionId: randomBytes(12) }))
    if (count % 50 === 0) await systemClock.sleep(1)
  }
  const { length } = await here.answers(401)
  assert.ok(length >= 150 && length <= 400, `${length}`)
})

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
