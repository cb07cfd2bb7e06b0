// time limit: 240 s
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { LifetimeError, tryLifetime } from '../../../../agent/path/nat/trial.ts'
import { systemClock } from '../../../../agent/system-clock.ts'
import { randomBytes } from '../../../../crypto/random.ts'
import { type Endpoint, parseEndpoint } from '../../../../protocol/address.ts'
import { encodeStun, parseStun, type StunMessage } from '../../../../protocol/stun.ts'
import { startStunResponder } from '../../../../registry/rendezvous/stun-responder.ts'

const rule = suite('a trial of a lifetime (RFC 5780 §4.6)')

const trial = (server: Endpoint, signal = new AbortController().signal): Promise<boolean> =>
  tryLifetime(0.1, { server, clock: systemClock, random: randomBytes, signal })

/** A server that answers as told, from a port of its own. */
async function hostileServer(
  answerTo: (request: Uint8Array, port: number) => readonly { bytes: Uint8Array; port: number }[],
): Promise<{ readonly server: Endpoint; close(): void }> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1')
  await once(socket, 'listening')
  socket.on('message', (request, { port }) => {
    for (const answer of answerTo(Uint8Array.from(request), port))
      socket.send(answer.bytes, answer.port, '127.0.0.1')
  })
  const server = parseEndpoint(`127.0.0.1:${socket.address().port}`)
  return { server, close: () => socket.close() }
}

const success = (request: Uint8Array, address = '127.0.0.1', port = 40_000): Uint8Array =>
  encodeStun({
    kind: 'success',
    transactionId: parseStun(request).transactionId,
    mappedAddress: parseEndpoint(`${address}:${port}`),
  })

async function reasonOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
  } catch (error) {
    assert.instance(error, LifetimeError)
    return error instanceof Error ? error.message : ''
  }
  return 'none'
}

rule('finds a mapping alive with the registry’s STUN responder', async () => {
  await using responder = await startStunResponder({
    listen: [{ host: '127.0.0.1', port: 0 }],
    clock: systemClock,
    log: () => undefined,
  })
  const [{ port } = { port: 0 }] = responder.bound
  assert.is(await trial(parseEndpoint(`127.0.0.1:${port}`)), true)
})

rule('finds it dead where nothing arrives at the other port', async () => {
  const { server, close } = await hostileServer((request, port) =>
    parseStun(request).responsePort === undefined
      ? [{ bytes: success(request, '127.0.0.1', port), port }]
      : [],
  )
  assert.is(await trial(server), false)
  close()
})

rule('is not deceived by junk, other ids, and answers to the port that asked', async () => {
  const { server, close } = await hostileServer((request, port) => {
    const { responsePort, transactionId } = parseStun(request)
    if (responsePort === undefined) return [{ bytes: success(request, '127.0.0.1', port), port }]
    const other: StunMessage = { kind: 'success', transactionId: randomBytes(12) }
    return [
      { bytes: randomBytes(60), port: responsePort },
      { bytes: encodeStun(other), port: responsePort },
      { bytes: encodeStun({ kind: 'request', transactionId }), port: responsePort },
    ]
  })
  assert.is(await trial(server), false)
  close()
})

rule(
  'fails with the reason where the server is mute, too old, or the NAT changes addresses',
  async () => {
    let asked = 0
    const refusing = (code: number) => (request: Uint8Array, port: number) => {
      const { responsePort, transactionId } = parseStun(request)
      const error = { code, reason: 'no' }
      return responsePort === undefined
        ? [{ bytes: success(request, '127.0.0.1', port), port }]
        : [{ bytes: encodeStun({ kind: 'error', transactionId, error }), port }]
    }
    for (const [answerTo, reason] of [
      [() => [], /does not answer/],
      [refusing(420), /does not know RESPONSE-PORT/],
      [refusing(400), /refuses: 400 no/],
      [
        (request: Uint8Array, port: number) => {
          asked += 1
          return [{ bytes: success(request, `192.0.2.${asked}`, port), port }]
        },
        /more than one address/,
      ],
    ] as const) {
      const { server, close } = await hostileServer(answerTo)
      assert.match(await reasonOf(trial(server)), reason)
      close()
    }
  },
)

rule('ends when it is told to', async () => {
  const ending = new AbortController()
  const { server, close } = await hostileServer(() => [])
  const ended = trial(server, ending.signal).catch((error: unknown) => String(error))
  ending.abort(new Error('enough'))
  assert.match(String(await ended), /abort|enough/i)
  close()
})

rule.run()
