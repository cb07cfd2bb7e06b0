import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import { fromHex, toHex } from '../../crypto/bytes.ts'
import { MalformedError } from '../../protocol/errors.ts'
import { isControl, parseControl } from '../../protocol/relay-control.ts'
import {
  type Direction,
  isRelayDatagram,
  openRelayDatagram,
  RELAY_UDP_OVERHEAD,
  sealRelayDatagram,
  sessionOf,
} from '../../protocol/relay-udp.ts'
import { isStun } from '../../protocol/stun.ts'

const VECTORS = z
  .object({
    key: z.string(),
    session: z.string(),
    datagrams: z.array(
      z.object({
        direction: z.enum(['to-relay', 'to-client']),
        counter: z.number(),
        peer: z.string(),
        datagram: z.string(),
        bytes: z.string(),
      }),
    ),
    controls: z.array(
      z.object({ control: z.record(z.string(), z.unknown()), datagram: z.string() }),
    ),
  })
  .parse(
    JSON.parse(readFileSync(new URL('../vectors/relay/datagrams.json', import.meta.url), 'utf8')),
  )
const keys = { session: VECTORS.session, key: fromHex(VECTORS.key) }
const rule = suite('relay datagrams (SPEC §12.4)')

rule('have the bytes of the vectors, both ways', () => {
  assert.ok(VECTORS.datagrams.length >= 4)
  for (const { direction, counter, peer, datagram, bytes } of VECTORS.datagrams) {
    const frame = { peer, datagram: fromHex(datagram) }
    assert.is(toHex(sealRelayDatagram(keys, direction, counter, frame)), bytes)
    const opened = openRelayDatagram(keys, direction, fromHex(bytes))
    assert.equal(opened && { ...opened, datagram: toHex(opened.datagram) }, {
      counter,
      peer,
      datagram,
    })
  }
})

const frame = fc.record({
  peer: fc.uint8Array({ minLength: 9, maxLength: 9 }).map(toHex),
  datagram: fc.uint8Array({ maxLength: 1500 }),
})
const counter = fc.integer({ min: 0, max: 2 ** 48 - 1 })
const direction = fc.constantFrom<Direction>('to-relay', 'to-client')

rule('open to what was sealed, and cost 40 bytes', () => {
  fc.assert(
    fc.property(frame, counter, direction, (sealed, count, way) => {
      const bytes = sealRelayDatagram(keys, way, count, sealed)
      assert.is(bytes.length, sealed.datagram.length + RELAY_UDP_OVERHEAD)
      assert.is(RELAY_UDP_OVERHEAD, 40)
      assert.is(sessionOf(bytes), keys.session)
      const opened = openRelayDatagram(keys, way, bytes)
      assert.equal(opened && { ...opened, datagram: toHex(opened.datagram) }, {
        counter: count,
        peer: sealed.peer,
        datagram: toHex(sealed.datagram),
      })
    }),
  )
})

rule('do not open with a changed bit, another key, another session, the other direction', () => {
  fc.assert(
    fc.property(frame, counter, fc.nat(), (sealed, count, place) => {
      const bytes = sealRelayDatagram(keys, 'to-relay', count, sealed)
      const changed = Uint8Array.from(bytes)
      const index = place % bytes.length
      changed[index] = (changed[index] ?? 0) ^ (1 << (place % 8))
      assert.is(openRelayDatagram(keys, 'to-relay', changed), undefined)
      assert.is(openRelayDatagram(keys, 'to-client', bytes), undefined)
      const otherKey = { ...keys, key: fromHex('ff'.repeat(32)) }
      assert.is(openRelayDatagram(otherKey, 'to-relay', bytes), undefined)
      const otherSession = { ...keys, session: 'ff'.repeat(8) }
      assert.is(openRelayDatagram(otherSession, 'to-relay', bytes), undefined)
    }),
  )
})

rule('do not open when cut short, whatever the length', () => {
  const [first] = VECTORS.datagrams
  const bytes = fromHex(first?.bytes ?? '')
  for (let length = 0; length < bytes.length; length += 1) {
    assert.is(openRelayDatagram(keys, 'to-relay', bytes.subarray(0, length)), undefined)
  }
})

rule('are never STUN, nor WireGuard, by their first byte', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), direction, (bytes, way) => {
      if (!isRelayDatagram(bytes, way)) return
      assert.not.ok(isStun(bytes))
      assert.ok((bytes[0] ?? 0) > 4)
    }),
  )
})

const control = suite('relay control (SPEC §12.3)')

control('has the bytes of the vectors', () => {
  for (const { control: said, datagram } of VECTORS.controls) {
    const parsed = parseControl(fromHex(datagram))
    const text = Object.entries(parsed ?? {}).map(([key, value]) => [
      key,
      value instanceof Uint8Array ? toHex(value) : value,
    ])
    assert.equal(Object.fromEntries(text), said)
  }
})

control('ignores a kind it does not know, and refuses a known one of a wrong length', () => {
  assert.is(parseControl(Uint8Array.of(9, 1, 2)), undefined)
  assert.is(parseControl(new Uint8Array(0)), undefined)
  const wrong = ['01', `01${'00'.repeat(15)}`, `02${'00'.repeat(15)}`, '03', '0401ff', '0403', '04']
  for (const bytes of [...wrong, `03${'00'.repeat(41)}`, `03${'00'.repeat(43)}`]) {
    assert.throws(
      () => parseControl(fromHex(bytes)),
      (error: unknown) => error instanceof MalformedError,
      bytes,
    )
  }
})

control('is what comes from address zero, but for "unreachable here"', () => {
  const peer = '00'.repeat(9)
  assert.ok(isControl({ peer, datagram: Uint8Array.of(1) }))
  assert.not.ok(isControl({ peer, datagram: new Uint8Array(0) }))
  assert.not.ok(isControl({ peer: `${'00'.repeat(8)}01`, datagram: Uint8Array.of(1) }))
})

rule.run()
control.run()
