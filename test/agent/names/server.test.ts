import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  isThisHost,
  type NameServer,
  SERVER_LIMITS,
  startNameServer,
} from '../../../agent/names/server.ts'
import { framed } from '../../../agent/names/tcp-queries.ts'
import { systemClock as clock } from '../../../agent/system-clock.ts'
import { parseIpAddress } from '../../../protocol/address.ts'

const address = parseIpAddress('127.0.0.1')
const quiet = (): void => {}
let answered = 0
const start = async (log = quiet): Promise<NameServer> => {
  const server = await startNameServer({
    respond: async (bytes) => {
      answered += 1
      return bytes.includes('silent') ? undefined : Buffer.concat([Buffer.from('re:'), bytes])
    },
    clock,
    log,
    // A port that is free for UDP may be taken for TCP.
    places: Array.from({ length: 8 }, () => ({ address, port: 0 })),
  })
  assert.ok(server !== undefined)
  return server
}

const rule = suite('the resolver’s sockets')

rule('answer by UDP and by TCP at one port', async () => {
  await using server = await start()
  const udp = createSocket('udp4')
  udp.send('one question', server.at.port, server.at.address)
  const [bytes] = await once(udp, 'message')
  assert.is(String(bytes), 're:one question')
  udp.close()
  const tcp = connect(server.at.port, server.at.address)
  tcp.write(
    Buffer.concat([framed(Buffer.from('first question')), framed(Buffer.from('second question'))]),
  )
  let came = ''
  for await (const chunk of tcp) {
    came += chunk
    if (came.includes('second')) break
  }
  assert.is(came, '\0\u0011re:first question\0\u0012re:second question')
})

rule('take a TCP query in pieces, and end at what is none', async () => {
  await using server = await start()
  const tcp = connect(server.at.port, server.at.address)
  const whole = framed(Buffer.from('a slow question'))
  for (const byte of whole) {
    tcp.write(Buffer.of(byte))
    await clock.sleep(1)
  }
  assert.match(String((await once(tcp, 'data'))[0]), /re:a slow question/)
  tcp.write(Buffer.from([0xff, 0xff, 1, 2, 3]))
  await once(tcp, 'close')
  for (const short of [Buffer.from([0, 0]), Buffer.from([0, 11])]) {
    const other = connect(server.at.port, server.at.address)
    other.write(short)
    await once(other, 'close')
  }
  const silent = connect(server.at.port, server.at.address)
  silent.write(framed(Buffer.from('silent question')))
  await once(silent, 'close')
})

rule('answer so many queries at once, and no more', async () => {
  await using server = await start()
  answered = 0
  const udp = createSocket('udp4')
  const burst = SERVER_LIMITS.burst * 2
  const started = clock.monotonicMs()
  for (let index = 0; index < burst; index++) {
    udp.send('a question', server.at.port, server.at.address)
    if (index % 50 === 49) await clock.sleep(1)
  }
  await clock.sleep(200)
  const seconds = (clock.monotonicMs() - started) / 1000
  assert.ok(answered > 0)
  assert.ok(answered <= SERVER_LIMITS.burst + seconds * SERVER_LIMITS.rate + 1, `${answered}`)
  udp.close()
})

rule('hold so many TCP connections, and no more', async () => {
  await using server = await start()
  const sockets = Array.from({ length: SERVER_LIMITS.connections + 8 }, () =>
    connect(server.at.port, server.at.address),
  )
  const closed = sockets.map((each) => {
    each.on('error', quiet)
    return once(each, 'close').then(() => 'closed')
  })
  const [first] = sockets
  await once(first ?? sockets[0] ?? connect(0), 'connect').catch(quiet)
  assert.is(await Promise.race(closed), 'closed')
  await clock.sleep(300)
  const left = sockets.filter((each) => !each.destroyed && !each.readableEnded)
  assert.ok(left.length <= SERVER_LIMITS.connections, `${left.length}`)
  assert.ok(left.length > 0)
  for (const each of sockets) each.destroy()
})

rule('are for this host alone, even where the kernel lets others come to loopback', () => {
  for (const from of ['127.0.0.1', '127.88.0.53', '::1']) assert.ok(isThisHost(from, address))
  const overlay = parseIpAddress('100.64.0.1')
  assert.ok(isThisHost(overlay, overlay))
  assert.not(isThisHost('100.64.0.2', overlay))
  for (const from of ['192.0.2.1', '198.51.100.127', '2001:db8::1', undefined, '1127.0.0.1'])
    assert.not(isThisHost(from, address))
})

rule('take the next place where one is taken, and say why where none is left', async () => {
  await using server = await start()
  const events: string[] = []
  const parts = {
    respond: async () => undefined,
    clock,
    log: (_level: string, event: string, fields?: object) =>
      void events.push(`${event} ${JSON.stringify(fields)}`),
  }
  await using next = await startNameServer({
    ...parts,
    places: [server.at, { address: parseIpAddress('127.0.0.2'), port: server.at.port }],
  })
  assert.is(next?.at.address, '127.0.0.2')
  const none = await startNameServer({ ...parts, places: [server.at] })
  assert.is(none, undefined)
  assert.match(events.join('\n'), /names\.no-server .*EADDRINUSE/)
})

rule('are free again when they have ended', async () => {
  const server = await start()
  const idle = connect(server.at.port, server.at.address)
  await once(idle, 'connect')
  await server[Symbol.asyncDispose]()
  await using again = await startNameServer({
    respond: async () => undefined,
    clock,
    log: quiet,
    places: [server.at],
  })
  assert.equal(again?.at, server.at)
})

rule.run()
