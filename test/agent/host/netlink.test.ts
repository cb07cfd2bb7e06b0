/** Netlink: what is written is read back, what is cut is refused, and the kernel of this host answers. */
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { GenericNetlink } from '../../../agent/host/generic-netlink.ts'
import {
  encodeAttribute,
  encodeMessage,
  encodeNested,
  NetlinkError,
  parseAttributes,
  parseMessages,
} from '../../../agent/host/netlink.ts'
import { DUMP, NetlinkExchange } from '../../../agent/host/netlink-exchange.ts'
import { openNetlink } from '../../../agent/host/netlink-socket.ts'
import { Rtnetlink } from '../../../agent/host/rtnetlink.ts'
import { concat, fromHex, fromUtf8, toHex, utf8 } from '../../../crypto/bytes.ts'
import { MalformedError } from '../../../protocol/errors.ts'

const rule = suite('netlink')

rule('writes messages and attributes as the kernel’s headers lay them out', () => {
  const body = concat(Uint8Array.of(3, 1, 0, 0), encodeAttribute(2, utf8('wireguard\0')))
  assert.is(
    toHex(encodeMessage({ type: 16, flags: 5, body }, 7)),
    '24000000' +
      '1000' +
      '0500' +
      '07000000' +
      '00000000' + // struct nlmsghdr
      '03010000' + // struct genlmsghdr
      '0e000200' +
      '776972656775617264000000', // struct nlattr, padded
  )
  assert.is(
    toHex(encodeNested(8, [encodeAttribute(5, Uint8Array.of(1, 2))])),
    '0c000880060005000102' + '0000',
  )
})

rule('reads back what it writes, of any length', () => {
  const attributes = fc.array(fc.tuple(fc.integer({ min: 1, max: 100 }), fc.uint8Array()))
  fc.assert(
    fc.property(attributes, (wanted) => {
      const bytes = concat(...wanted.map(([type, value]) => encodeAttribute(type, value)))
      assert.equal(
        parseAttributes(bytes).map(({ type, value }) => [type, toHex(value)]),
        wanted.map(([type, value]) => [type, toHex(value)]),
      )
      const [message] = parseMessages(encodeMessage({ type: 1, flags: 2, body: bytes }, 3))
      assert.is(toHex(message?.body ?? new Uint8Array()), toHex(bytes))
    }),
  )
})

rule('refuses what was cut or is no such thing, and throws nothing else', () => {
  const one = encodeMessage({ type: 1, flags: 0, body: new Uint8Array(20) }, 1)
  assert.throws(() => parseMessages(one.subarray(0, 30)), /36 bytes said, 30 there/)
  assert.throws(() => parseAttributes(fromHex('0300')), /0 bytes said, 2 there/)
  assert.throws(() => encodeAttribute(1, new Uint8Array(65_532)), /65536 bytes, at most 65535/)
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      for (const parse of [parseMessages, parseAttributes]) {
        try {
          parse(bytes)
        } catch (error) {
          assert.instance(error, MalformedError)
        }
      }
    }),
  )
})

rule('takes no late answer to a question that was given up for one to the next', () => {
  const acknowledged = (sequence: number, status: number): Uint8Array => {
    const body = Buffer.alloc(4)
    body.writeInt32LE(status)
    return encodeMessage({ type: 2, flags: 0, body }, sequence)
  }
  const read = [
    new NetlinkError('receiving', 'EAGAIN'),
    concat(acknowledged(1, -17), encodeMessage({ type: 16, flags: 2, body: utf8('mine') }, 2)),
    acknowledged(2, 0),
  ]
  const receive = (): Uint8Array => {
    const next = read.shift() ?? new Uint8Array()
    if (next instanceof NetlinkError) throw next
    return next
  }
  const exchange = new NetlinkExchange({
    ...{ send: () => undefined, receive },
    [Symbol.dispose]: () => undefined,
  })
  const question = { type: 18, flags: 0, body: new Uint8Array() }
  assert.throws(() => exchange.ask('first', question), /EAGAIN/)
  const answers = exchange.ask('second', question).map(({ body }) => fromUtf8(body))
  assert.equal(answers, ['mine'])
})

rule('asks again for a dump that was interrupted', () => {
  const link = (flags: number, sequence: number) =>
    encodeMessage({ type: 16, flags, body: utf8(`link no${sequence}`) }, sequence)
  const done = (flags: number, sequence: number) =>
    encodeMessage({ type: 3, flags, body: new Uint8Array(4) }, sequence)
  const read = [
    concat(link(0x12, 1), done(2, 1)),
    concat(link(2, 2), done(0x12, 2)),
    concat(link(2, 3), done(2, 3)),
  ]
  const exchange = new NetlinkExchange({
    ...{ send: () => undefined, receive: () => read.shift() ?? new Uint8Array() },
    [Symbol.dispose]: () => undefined,
  })
  const answers = exchange.ask('links', { type: 18, flags: DUMP, body: new Uint8Array() })
  assert.equal(
    answers.map(({ body }) => fromUtf8(body)),
    ['link no3'],
  )
})

rule('says why the kernel refused, in its words', () => {
  using exchange = new NetlinkExchange(openNetlink('route'))
  const body = concat(new Uint8Array(16), encodeAttribute(3, utf8('no-such-link\0')))
  assert.throws(
    () => exchange.ask('asking', { type: 18, flags: 0, body }),
    (error: unknown) => error instanceof NetlinkError && error.code === 'ENODEV',
  )
  const kind = encodeNested(18, [encodeAttribute(1, utf8('no-such-kind'))])
  const made = concat(new Uint8Array(16), encodeAttribute(3, utf8('other0\0')), kind)
  assert.throws(
    () => exchange.ask('adding other0', { type: 16, flags: 0x600, body: made }),
    /^adding other0: the kernel answered (ENOTSUP \(Unknown device type\)|EPERM)/,
  )
})

rule('gives the routes of a family once, where the kernel answers with those of another', () => {
  const route = (sequence: number) => {
    const header = Uint8Array.of(2, 32, 0, 0, 254, 78, 253, 1, 0, 0, 0, 0)
    const body = concat(header, encodeAttribute(1, Uint8Array.of(10, 1, 2, 3)))
    const done = encodeMessage({ type: 3, flags: 2, body: new Uint8Array(4) }, sequence)
    return concat(encodeMessage({ type: 24, flags: 2, body }, sequence), done)
  }
  const read = [route(1), route(2)]
  using rtnetlink = new Rtnetlink({
    ...{ send: () => undefined, receive: () => read.shift() ?? new Uint8Array() },
    [Symbol.dispose]: () => undefined,
  })
  assert.equal(rtnetlink.routes(7), [{ prefix: '10.1.2.3/32' }])
})

rule('asks the kernel, which knows its own families, and refuses others by name', () => {
  using controller = new GenericNetlink(openNetlink('generic'), 'nlctrl')
  const names = controller
    .dump(3, [])
    .flatMap((each) => each.filter(({ type }) => type === 2))
    .map(({ value }) => Buffer.from(value).toString('utf8'))
  assert.ok(names.includes('nlctrl\0'))
  using nothing = new GenericNetlink(openNetlink('generic'), 'nexodus-nothing')
  try {
    nothing.tell(1, [])
    assert.unreachable()
  } catch (error) {
    assert.instance(error, NetlinkError)
    assert.is((error as NetlinkError).code, 'ENOENT')
  }
})

rule.run()
