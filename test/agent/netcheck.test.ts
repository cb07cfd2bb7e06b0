import { createServer } from 'node:http'
import { createServer as createTcpServer } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { NETCHECK, type NetcheckReport } from '../../agent/control/netcheck-report.ts'
import { measureLifetime } from '../../agent/netcheck.ts'
import { lifetimeText, netcheckText } from '../../agent/nexctl-netcheck.ts'
import type { PathNetcheck } from '../../agent/path/nat/watch.ts'
import { reachRegistry, reachTcp, tcpOf } from '../../agent/reach.ts'
import { systemClock } from '../../agent/system-clock.ts'

const rule = suite('netcheck')

const REPORT: NetcheckReport = {
  families: [
    {
      ...{ family: 4, addresses: ['192.168.1.10'], gateway: true, udp: 'works' },
      ...{ mapping: 'endpoint-independent', mappingProved: false, filtering: 'unknown' },
      ...{ hairpinning: 'no', portPreserved: 'yes', mapped: '198.51.100.1:51820' },
      observations: [
        {
          ...{ observer: '192.0.2.1:3478', by: 'STUN server' },
          ...{ mapped: '198.51.100.1:51820', secondsAgo: 3 },
        },
      ],
      lifetime: { state: 'measured', atLeast: 120, lessThan: 127, secondsAgo: 60, server: 'x' },
      verdict: 'a NAT that keeps one mapping',
    },
    {
      ...{ family: 6, addresses: [], gateway: false, udp: 'unknown', mapping: 'unknown' },
      ...{ mappingProved: false, filtering: 'unknown', hairpinning: 'unknown' },
      ...{ portPreserved: 'unknown', observations: [], verdict: 'no IPv6 address' },
    },
  ],
  servers: [
    {
      ...{ kind: 'stun', address: '192.0.2.1:3478', protocol: 'udp' },
      ...{ reachable: true, roundTripMs: 12.345 },
    },
    { kind: 'registry', address: 'https://r.example', protocol: 'tcp', reachable: false },
  ],
  clock: { registryAhead: 40 },
}

rule('is told to people', () => {
  const text = netcheckText(NETCHECK.parse(JSON.parse(JSON.stringify(REPORT))))
  for (const line of [
    /^IPv4: a NAT that keeps one mapping$/m,
    /^ {2}mapping +endpoint-independent \(as far as few observers tell\)$/m,
    /^ {2}lifetime +120 s at least, less than 127 s \(60 s ago\)$/m,
    /^ {2}STUN server \(192\.0\.2\.1:3478\) +198\.51\.100\.1:51820 +3 s ago$/m,
    /^IPv6: no IPv6 address$/m,
    /^stun +192\.0\.2\.1:3478 +UDP +reachable +12\.3 ms$/m,
    /^registry +https:\/\/r\.example +TCP +not reachable +-$/m,
    /^clock: 40 s behind the registry’s$/m,
  ])
    assert.match(text, line)
  assert.not.match(text, /undefined|NaN/)
  assert.match(
    lifetimeText({ started: [{ family: 4, endsWithin: 660 }] }),
    /IPv4 within 660 s; nexctl netcheck shows/,
  )
})

rule('measures a lifetime only within its limits, and with a server that answers', () => {
  const paths = (endsWithin: number | undefined) =>
    ({ measureLifetime: () => endsWithin }) as unknown as PathNetcheck
  for (const longest of [4, 901, Number.NaN])
    assert.throws(() => measureLifetime(paths(1), longest), /want 5 to 900/)
  assert.throws(() => measureLifetime(paths(undefined), 300), /no STUN server/)
  assert.equal(measureLifetime(paths(660), 300), {
    started: [
      { family: 4, endsWithin: 660 },
      { family: 6, endsWithin: 660 },
    ],
  })
})

const reach = suite('reach')

reach('reads where a multiaddr of TCP leads, and nothing else', () => {
  assert.equal(
    ['/ip4/192.0.2.1/tcp/4001/p2p/12D3', '/dns/r.example/tcp/443', '/ip6/2001:db8::1/tcp/1'].map(
      tcpOf,
    ),
    [
      { host: '192.0.2.1', port: 4001 },
      { host: 'r.example', port: 443 },
      { host: '2001:db8::1', port: 1 },
    ],
  )
  for (const other of [
    '',
    '/ip4/192.0.2.1/udp/1/quic-v1',
    '/ip4/192.0.2.1/tcp/0',
    '/ip4/192.0.2.1/tcp/65536',
    '/ip4/192.0.2.1/tcp/1/p2p/a/p2p-circuit',
    '/ip4/192.0.2.1/tcp/1/tls',
  ])
    assert.is(tcpOf(other), undefined, other)
})

reach('measures a round trip of TCP, or says that nobody is there', async () => {
  const server = createTcpServer((socket) => socket.on('error', () => undefined))
  const port = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      resolve(typeof address === 'object' ? (address?.port ?? 0) : 0)
    })
  })
  const there = await reachTcp({ host: '127.0.0.1', port }, systemClock)
  assert.ok(there.reachable && (there.roundTripMs ?? -1) >= 0)
  await new Promise((resolve) => server.close(resolve))
  assert.equal(await reachTcp({ host: '127.0.0.1', port }, systemClock), { reachable: false })
})

reach('compares the clock with the registry’s', async () => {
  let date: string | undefined = new Date(systemClock.nowMs() + 90_000).toUTCString()
  const server = createServer((_request, response) => {
    response.sendDate = false
    if (date !== undefined) response.setHeader('date', date)
    response.end('{}')
  })
  const port = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      resolve(typeof address === 'object' ? (address?.port ?? 0) : 0)
    })
  })
  const url = `http://127.0.0.1:${port}`
  const { ahead = 0 } = await reachRegistry(url, systemClock)
  assert.ok(Math.abs(ahead - 90) <= 2, `${ahead}`)
  for (const unusable of ['yesterday', undefined]) {
    date = unusable
    const { reachable, ahead: none } = await reachRegistry(`${url}/`, systemClock)
    assert.equal([reachable, none], [true, undefined])
  }
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  assert.equal(await reachRegistry(url, systemClock), { reachable: false })
})

rule.run()
reach.run()
