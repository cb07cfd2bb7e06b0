// time limit: 240 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DIVERTED_PORTS } from '../../../agent/host/diverted-ports.ts'
import { type PortShare, startPortShare } from '../../../agent/host/port-share.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import { needs } from '../../support/needs.ts'
import { at, config, peerOf, type Side, startSides, statsOf } from '../tunnel/sides.ts'
import { endSockets, udpSocket } from './udp-socket.ts'

needs('root', 'netns', 'wireguard-go', 'nft', 'ping')

const [LISTEN, CHECK, OTHER, DIVERTED] = [51820, 51821, 9999, 40_123]
const QUIET = { clock: systemClock, log: () => undefined }
const TRANSACTION = '0102030405060708090a0b0c'
const REQUEST = `000100002112a442${TRANSACTION}`

const rule = suite('diverted ports (SPEC §10.8)')
let a: Side
let b: Side
let share: PortShare

rule.before(async () => {
  ;[a, b] = await startSides('wireguard-go')
})
rule.before.each(async () => {
  for (const side of [a, b]) await side.tunnel.configure(config(side))
  share = await startPortShare({
    ...QUIET,
    listenPort: LISTEN,
    checkPort: CHECK,
    commands: a.host.commands,
  })
})
rule.after.each(async () => {
  await share[Symbol.asyncDispose]()
  await endSockets()
})
rule.after(async () => {
  for (const { tunnel } of [a, b]) await tunnel[Symbol.asyncDispose]()
  for (const { host } of [a, b]) await host[Symbol.asyncDispose]()
})

for (const [family, type] of [
  ['ipv4', 'udp4'],
  ['ipv6', 'udp6'],
] as const) {
  rule(`WireGuard talks to that endpoint by the other port, both ways (${family})`, async () => {
    await udpSocket(a.host, DIVERTED, type)
    await share.divert(at(b.host[family]), { port: DIVERTED })
    const endpoint = at(b.host[family])
    await a.tunnel.configure(config(a, { ...peerOf(b), endpoint }))
    await b.tunnel.configure(config(b, peerOf(a)))
    assert.ok(await a.host.pings('100.64.0.2'))
    const seen = await statsOf(b, a.keys.publicKey)
    assert.equal(seen?.endpoint, at(a.host[family], DIVERTED))
    const back = await statsOf(a, b.keys.publicKey)
    assert.equal(back?.endpoint, endpoint)
    assert.ok(await b.host.pings('100.64.0.1'))
  })

  rule(`checks do, too, and nobody else’s packets (${family})`, async () => {
    const check = await udpSocket(a.host, CHECK, type)
    const holder = await udpSocket(a.host, DIVERTED, type)
    const [far, stranger] = [
      await udpSocket(b.host, OTHER, type),
      await udpSocket(b.host, OTHER + 1, type),
    ]
    await share.divert(at(b.host[family], OTHER), { port: DIVERTED })
    await check.send(b.host[family], OTHER, REQUEST)
    await check.send(b.host[family], OTHER + 1, REQUEST)
    assert.equal(far.received, [`${a.host[family]} ${DIVERTED} ${REQUEST}`])
    assert.equal(stranger.received, [`${a.host[family]} ${LISTEN} ${REQUEST}`])
    await far.send(a.host[family], DIVERTED, REQUEST)
    await stranger.send(a.host[family], DIVERTED, REQUEST)
    assert.equal(check.received, [`${b.host[family]} ${OTHER} ${REQUEST}`])
    assert.equal(holder.received, [`${b.host[family]} ${OTHER + 1} ${REQUEST}`])
  })
}

rule(
  'passes a stateful firewall of the host: conntrack sees the other port both ways',
  async () => {
    await a.host.sh(`nft 'table inet firewall { chain in { type filter hook input priority 0; policy drop;
    ct state established accept; icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    iifname "${a.host.tunnelName}" accept; }; }'`)
    await share.divert(at(b.host.ipv4, OTHER), { port: DIVERTED })
    const check = await udpSocket(a.host, CHECK)
    const far = await udpSocket(b.host, OTHER)
    await far.send(a.host.ipv4, DIVERTED, REQUEST)
    assert.equal(check.received, [], 'unasked')
    await check.send(b.host.ipv4, OTHER, REQUEST)
    await far.send(a.host.ipv4, DIVERTED, REQUEST)
    assert.equal(check.received, [`${b.host.ipv4} ${OTHER} ${REQUEST}`])
    await a.host.sh('nft delete table inet firewall')
  },
)

rule('leaves by WireGuard’s port again once it is restored, also twice', async () => {
  const [check, far] = [await udpSocket(a.host, CHECK), await udpSocket(b.host, OTHER)]
  const remote = at(b.host.ipv4, OTHER)
  await share.divert(remote, { port: DIVERTED })
  await share.divert(remote, { port: DIVERTED + 1 })
  await check.send(b.host.ipv4, OTHER, REQUEST)
  await share.restore(remote)
  await share.restore(remote)
  await check.send(b.host.ipv4, OTHER, REQUEST)
  assert.equal(far.received, [
    `${a.host.ipv4} ${DIVERTED + 1} ${REQUEST}`,
    `${a.host.ipv4} ${LISTEN} ${REQUEST}`,
  ])
})

rule('refuses more than its sets hold, and goes on', async () => {
  for (let index = 0; index < DIVERTED_PORTS; index++)
    await share.divert(at(b.host.ipv4, 1000 + index), { port: 2000 + index })
  const error = await share
    .divert(at(b.host.ipv4, 999), { port: 1999 })
    .catch((cause: unknown) => cause)
  assert.is((error as { code?: string }).code, 'ERR_COMMAND_FAILED')
  await share.restore(at(b.host.ipv4, 1000))
  await share.divert(at(b.host.ipv4, 999), { port: 1999 })
})

rule('leaves nothing: what is diverted goes with the table, and a new one has none', async () => {
  await share.divert(at(b.host.ipv4, OTHER), { port: DIVERTED })
  assert.match(await a.host.sh('nft list ruleset'), new RegExp(`${DIVERTED}`))
  await share[Symbol.asyncDispose]()
  const again = await startPortShare({
    ...QUIET,
    listenPort: LISTEN,
    checkPort: CHECK,
    commands: a.host.commands,
  })
  assert.not.match(await a.host.sh('nft list ruleset'), new RegExp(`${DIVERTED}`))
  await again[Symbol.asyncDispose]()
  assert.is(await a.host.sh('nft list ruleset'), '')
})

rule.run()
