/** What leaves by one socket: bunches that the kernel cuts apart, and everything that must not be cut. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Bunch } from '../../../../agent/tunnel/userspace/bunch.ts'
import { Outbound } from '../../../../agent/tunnel/userspace/outbound.ts'
import { segmentationOf } from '../../../../agent/tunnel/userspace/segmentation.ts'
import { openUnderlay } from '../../../../agent/tunnel/userspace/underlay.ts'
import { type Endpoint, parseEndpoint } from '../../../../protocol/address.ts'

const TO = parseEndpoint('192.0.2.1:51820')
const OTHER = parseEndpoint('192.0.2.1:51821')
const of = (bytes: number): readonly Uint8Array[] => [
  new Uint8Array(16),
  new Uint8Array(bytes - 16),
]

/** A socket that writes down what it is given, cut as the kernel would. */
function scene({ segmented = true } = {}) {
  const calls: { readonly bytes: readonly number[]; readonly to: number }[] = []
  const state = { waiting: 0, segment: 0, error: null as Error | null }
  const tasks: (() => void)[] = []
  const failures: string[] = []
  const outbound = new Outbound({
    socket: {
      getSendQueueSize: () => state.waiting,
      send: ((
        parts: readonly Uint8Array[],
        port: number,
        _address: string,
        sent?: (error: Error | null, bytes: number) => void,
      ) => {
        const whole = parts.reduce((sum, { length }) => sum + length, 0)
        const isCut = state.segment > 0 && whole > state.segment
        if (state.segment > 0 && state.error !== null) return sent?.(state.error, 0)
        calls.push({ bytes: isCut ? pieces(whole, state.segment) : [whole], to: port })
        sent?.(null, whole)
      }) as never,
    },
    segmentation: segmented
      ? (bytes) => {
          state.segment = bytes
          return true
        }
      : undefined,
    defer: (task) => void tasks.push(task),
    failed: ({ message }) => void failures.push(message),
  })
  const endTurn = (): void => {
    for (const task of tasks.splice(0)) task()
  }
  return { outbound, calls, state, endTurn, failures }
}

function pieces(whole: number, segment: number): readonly number[] {
  const full = Array.from({ length: Math.floor(whole / segment) }, () => segment)
  return whole % segment === 0 ? full : [...full, whole % segment]
}

const rule = suite('datagrams that leave')

rule('are one bunch while they are as long as the first, and one shorter ends it', () => {
  const bunch = new Bunch(of(1000), TO)
  assert.ok(bunch.add(of(1000), { ...TO }))
  assert.not(bunch.add(of(1001), TO), 'longer')
  assert.not(bunch.add(of(1000), OTHER), 'to another port')
  assert.not(bunch.add(of(1000), parseEndpoint('192.0.2.2:51820')), 'to another address')
  assert.ok(bunch.add(of(999), TO))
  assert.not(bunch.add(of(999), TO), 'after a shorter one')
  assert.is(bunch.bytes, 2999)
})

rule('are no more than 64 at once, and no more bytes than a datagram may have', () => {
  const taken = (bytes: number): number => {
    const bunch = new Bunch(of(bytes), TO)
    while (bunch.add(of(bytes), TO));
    return bunch.datagrams.length
  }
  assert.is(taken(100), 64)
  assert.is(taken(1452), 44)
  assert.is(taken(40_000), 1)
})

rule('of one turn leave in one call for each endpoint, in order', () => {
  const { outbound, calls, endTurn } = scene()
  for (const bytes of [1452, 1452, 1452, 80]) assert.ok(outbound.send(of(bytes), TO))
  assert.equal(calls, [])
  assert.ok(outbound.send(of(96), OTHER))
  endTurn()
  assert.equal(calls, [
    { bytes: [1452, 1452, 1452, 80], to: TO.port },
    { bytes: [96], to: OTHER.port },
  ])
  endTurn()
  assert.is(calls.length, 2)
})

rule('alone are not cut, though shorter ones were sent as a bunch before', () => {
  const { outbound, calls, endTurn } = scene()
  for (const bytes of [96, 96, 1452]) outbound.send(of(bytes), TO)
  endTurn()
  assert.equal(
    calls.map(({ bytes }) => bytes),
    [[96, 96], [1452]],
  )
})

rule('are cut by no option that came after them: while some wait, it stays', () => {
  const { outbound, calls, state, endTurn } = scene()
  for (const bytes of [1452, 1452]) outbound.send(of(bytes), TO)
  endTurn()
  state.waiting = 3000
  for (const bytes of [96, 96]) outbound.send(of(bytes), TO)
  endTurn()
  assert.is(state.segment, 1452)
  outbound.send(of(1500), TO)
  endTurn()
  assert.equal(
    calls.map(({ bytes }) => bytes),
    [[1452, 1452], [96], [96]],
    'what would be cut is dropped',
  )
  state.waiting = 5 << 20
  assert.not(outbound.send(of(96), TO), 'too much waits')
})

rule('go one by one where the way takes no bunches, from then on', () => {
  const { outbound, calls, state, endTurn } = scene()
  state.error = Object.assign(new Error('send EIO'), { code: 'EIO' })
  for (let turn = 1; turn <= 2; turn += 1) {
    for (const bytes of [1452, 1452, 80]) outbound.send(of(bytes), TO)
    endTurn()
  }
  assert.equal(
    calls.map(({ bytes }) => bytes),
    [[1452], [1452], [80], [1452], [1452], [80]],
  )
})

rule('alone go as well where the way takes no bunches, while the socket cuts for others', () => {
  const { outbound, calls, state, endTurn } = scene()
  for (const bytes of [1452, 1452]) outbound.send(of(bytes), TO)
  endTurn()
  state.error = Object.assign(new Error('send EMSGSIZE'), { code: 'EMSGSIZE' })
  outbound.send(of(96), parseEndpoint('192.0.2.9:1'))
  endTurn()
  assert.equal(
    calls.map(({ bytes }) => bytes),
    [[1452, 1452], [96]],
  )
  assert.is(state.segment, 0)
})

rule('are dropped and said where nothing can leave, and a bunch goes again afterwards', () => {
  const { outbound, calls, state, endTurn, failures } = scene()
  const two = (): void => {
    for (const bytes of [1452, 1452]) outbound.send(of(bytes), TO)
    endTurn()
  }
  state.error = Object.assign(new Error('send ENETUNREACH'), { code: 'ENETUNREACH' })
  two()
  assert.equal([calls, failures], [[], ['send ENETUNREACH']])
  state.error = null
  two()
  assert.equal(
    calls.map(({ bytes }) => bytes),
    [[1452, 1452]],
  )
})

rule('go at once and one by one where the system cuts nothing', () => {
  const { outbound, calls } = scene({ segmented: false })
  for (const bytes of [1452, 1452]) outbound.send(of(bytes), TO)
  assert.is(calls.length, 2)
})

for (const [family, address] of [
  ['udp4', '127.0.0.1'],
  ['udp6', '::1'],
] as const) {
  rule(`arrive whole and in order: ${family}`, async () => {
    await using receiver = createSocket({ type: family, recvBufferSize: 1 << 20 })
    receiver.bind(0, address)
    await once(receiver, 'listening')
    const to: Endpoint = parseEndpoint(
      family === 'udp4'
        ? `${address}:${receiver.address().port}`
        : `[${address}]:${receiver.address().port}`,
    )
    const sizes = Array.from({ length: 60 }, (_, index) => (index % 20 === 19 ? 96 : 1452))
    const arrived: Buffer[] = []
    const all = new Promise<void>((resolve) => {
      receiver.on('message', (datagram) => {
        arrived.push(datagram)
        if (arrived.length === sizes.length) resolve()
      })
    })
    await using underlay = await openUnderlay({
      port: 0,
      onDatagram: () => undefined,
      log: () => undefined,
    })
    for (const [index, bytes] of sizes.entries()) {
      const [head = new Uint8Array(), rest = new Uint8Array()] = of(bytes)
      assert.ok(underlay.send([head, rest.fill(index)], to))
    }
    await all
    assert.equal(
      arrived.map((datagram) => datagram.length),
      sizes,
    )
    for (const [index, datagram] of arrived.entries()) {
      assert.ok(datagram.subarray(16).every((byte) => byte === index))
    }
  })
}

rule('are cut by this kernel, and by no socket that is not bound', async () => {
  await using socket = createSocket('udp4')
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const bound = socket.address()
  const segmentation = await segmentationOf(bound)
  assert.is(segmentation?.(1452), process.platform === 'linux' ? true : undefined)
  assert.is(segmentation?.(0), process.platform === 'linux' ? true : undefined)
  assert.is(await segmentationOf({ ...bound, family: 'IPv6' }), undefined)
})

rule.run()
