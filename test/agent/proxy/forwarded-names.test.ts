/** Names of domains whose resolver is behind a router, where the tunnel has no interface. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { zonesOf } from '../../../agent/names/zones.ts'
import { forwardedNames } from '../../../agent/proxy/forwarded-names.ts'
import { startHttpProxy } from '../../../agent/proxy/http-server.ts'
import { startSocksServer } from '../../../agent/proxy/socks-server.ts'
import type { Stack } from '../../../agent/stack/stack.ts'
import { systemClock as clock } from '../../../agent/system-clock.ts'
import { randomBytes } from '../../../crypto/random.ts'
import { parseIpAddress } from '../../../protocol/address.ts'
import { forward } from '../../../protocol/organization-names.ts'
import { FAR } from '../../../simulations/world/stack-pair.ts'
import { upstream } from '../names/upstream-resolver.ts'
import {
  askTcp,
  askUdp,
  freePort,
  startTcpService,
  startTwoProxies,
  startUdpService,
  type TwoProxies,
} from './two-proxies.ts'

const AT = { address: parseIpAddress('127.0.0.1'), port: 0 }
const NAME = 'git.corp.example'
/** Aliases end at the far device, and one name at a stranger. */
const data = (_index: number, name: string): string =>
  name.toLowerCase().startsWith('stranger.') ? '8.8.8.8' : FAR[4]

const rule = suite('forwarded names of a proxy')

/** The far device leads to the resolver, by UDP and TCP. */
const toResolver = (port: number): readonly string[] => [
  `tcp:53:127.0.0.1:${port}`,
  `udp:53:127.0.0.1:${port}`,
]

function lookUpBy(resolver = FAR[4]) {
  const zones = zonesOf(undefined)
  const forwards = [forward('corp.example', [`${resolver}:53`])]
  return (stack: Stack) =>
    forwardedNames({
      stack,
      zones: () => ({ ...zones, forwards }),
      isReachable: (address) => /^(100\.64\.|fd00::)/.test(address),
      clock,
      random: randomBytes,
    })
}

async function throughHttp({ near }: TwoProxies, host: string): Promise<number> {
  await using proxy = await startHttpProxy(AT, { ...near, clock })
  const asking = request({ port: proxy.port, method: 'CONNECT', path: `${host}:443`, headers: {} })
  asking.end()
  const [response, socket] = await Promise.race([once(asking, 'connect'), once(asking, 'response')])
  socket?.destroy()
  response.resume?.()
  return response.statusCode
}

rule('are reached by TCP and UDP, from programs and by rules', async () => {
  await using resolver = await upstream({ data })
  await using web = await startTcpService('web')
  await using dns = await startUdpService('dns')
  const port = await freePort()
  await using two = await startTwoProxies({
    lookUp: lookUpBy(),
    near: { egress: [`tcp:${port}:${NAME}:443`, `udp:${port}:${NAME}:5353`] },
    far: {
      ingress: [
        ...toResolver(resolver.at.port),
        `tcp:443:127.0.0.1:${web.port}`,
        `udp:5353:127.0.0.1:${dns.port}`,
      ],
    },
  })
  assert.is(await askTcp(port, 'tcp'), 'web:tcp')
  assert.is(await askUdp(port, 'udp'), 'dns:udp')
  assert.is(await throughHttp(two, NAME), 200)
  // One question of each type: what was said is kept.
  assert.equal(resolver.asked, ['udp', 'udp'])
})

rule('are asked by TCP where the answer is too long for a datagram', async () => {
  const cut = (answer: Buffer): readonly Buffer[] => {
    answer.writeUInt16BE(answer.readUInt16BE(2) | 0x0200, 2)
    return [answer]
  }
  await using resolver = await upstream({ data, udp: cut })
  await using web = await startTcpService('web')
  await using two = await startTwoProxies({
    lookUp: lookUpBy(),
    far: { ingress: [...toResolver(resolver.at.port), `tcp:443:127.0.0.1:${web.port}`] },
  })
  assert.is(await throughHttp(two, NAME), 200)
  assert.ok(resolver.asked.includes('tcp'))
})

rule('lead nowhere but into the mesh, and no other name is told to the resolver', async () => {
  await using resolver = await upstream({ data })
  await using two = await startTwoProxies({
    lookUp: lookUpBy(),
    far: { ingress: toResolver(resolver.at.port) },
  })
  assert.is(await throughHttp(two, 'stranger.corp.example'), 403)
  const before = resolver.names.length
  for (const host of ['example.org', 'notcorp.example', `${'a'.repeat(64)}.corp.example`])
    assert.is(await throughHttp(two, host), 403, host)
  assert.is(resolver.names.length, before)
})

rule('are unknown where nobody answers, or the resolver is not of the mesh', async () => {
  await using resolver = await upstream({ data, rcode: 3 })
  await using two = await startTwoProxies({
    lookUp: lookUpBy(),
    far: { ingress: toResolver(resolver.at.port) },
  })
  assert.is(await throughHttp(two, NAME), 403)
  await using alone = await startTwoProxies({ lookUp: lookUpBy() })
  assert.is(await throughHttp(alone, NAME), 403)
  await using beside = await startTwoProxies({
    lookUp: lookUpBy(AT.address),
  })
  assert.is(await throughHttp(beside, NAME), 403)
  assert.is(beside.near.stack.counts().udpSockets, 0)
})

rule('are reached by datagrams of SOCKS clients', async () => {
  await using resolver = await upstream({ data })
  await using dns = await startUdpService('dns')
  await using two = await startTwoProxies({
    lookUp: lookUpBy(),
    far: { ingress: [...toResolver(resolver.at.port), `udp:5353:127.0.0.1:${dns.port}`] },
  })
  await using server = await startSocksServer(AT, { ...two.near, clock })
  const client = connect(server.port, '127.0.0.1')
  client.write(Uint8Array.of(5, 1, 0))
  await once(client, 'data')
  client.write(Uint8Array.of(5, 3, 0, 1, 0, 0, 0, 0, 0, 0))
  const [reply] = await once(client, 'data')
  const socket = createSocket('udp4')
  const host = Buffer.concat([Uint8Array.of(3, NAME.length), Buffer.from(NAME)])
  const datagram = [Uint8Array.of(0, 0, 0), host, Uint8Array.of(5353 >> 8, 5353 & 255), 'who']
  const bytes = Buffer.concat(datagram.map((each) => Buffer.from(each)))
  socket.send(bytes, reply.readUInt16BE(8), '127.0.0.1')
  const [answer] = await once(socket, 'message')
  assert.is(String(answer.subarray(10)), 'dns:who')
  socket.close()
  client.destroy()
  while (two.near.stack.counts().udpSockets > 0) await sleep(5)
})

rule.run()
