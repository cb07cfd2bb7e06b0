import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SPRAY_SOCKETS } from '../../../../agent/path/spray/limits.ts'
import { openSpraySockets } from '../../../../agent/path/spray/sockets.ts'
import { type Endpoint, parseIpAddress } from '../../../../protocol/address.ts'

const LOOPBACK = parseIpAddress('127.0.0.1')
const rule = suite('sockets of a spraying round')

rule('have 256 ports, send by them, and hear by them', async () => {
  const heard: { index: number; text: string; from: Endpoint }[] = []
  const all = Promise.withResolvers<void>()
  const sockets = await openSpraySockets(4, SPRAY_SOCKETS, (index, datagram, from) => {
    heard.push({ index, text: Buffer.from(datagram).toString(), from })
    all.resolve()
  })
  const far = createSocket('udp4').bind(0, '127.0.0.1')
  await once(far, 'listening')
  const ports = Array.from({ length: SPRAY_SOCKETS }, (_, index) => sockets.at(index)?.port)
  assert.is(new Set(ports).size, SPRAY_SOCKETS)
  assert.is(sockets.at(SPRAY_SOCKETS), undefined)
  sockets.at(200)?.send(Buffer.from('open'), { address: LOOPBACK, port: far.address().port })
  const [, source] = await once(far, 'message')
  assert.is(source.port, ports[200])
  far.send('probe', ports[200] ?? 0, '127.0.0.1')
  await all.promise
  assert.equal(heard, [
    { index: 200, text: 'probe', from: { address: LOOPBACK, port: far.address().port } },
  ])
  far.close()
  sockets.close()
})

rule('give back all ports but one that is kept, and that one when it closes', async () => {
  const sockets = await openSpraySockets(4, 4, () => undefined)
  const ports = [0, 1, 2, 3].map((index) => sockets.at(index)?.port ?? 0)
  const kept = sockets.keep(2)
  assert.is(kept?.port, ports[2])
  sockets.at(0)?.send(new Uint8Array(1), { address: LOOPBACK, port: 9 })
  sockets.close()
  const taken = createSocket('udp4').bind(ports[2])
  const [error] = await once(taken, 'error')
  assert.is(error.code, 'EADDRINUSE', 'it is kept')
  taken.close()
  kept?.close()
  kept?.close()
  for (const port of ports) {
    const again = createSocket('udp4').bind(port)
    await once(again, 'listening')
    again.close()
  }
})

rule.run()
