// time limit: 240 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type PortShare, startPortShare } from '../../../agent/host/port-share.ts'
import { REDIRECTIONS } from '../../../agent/host/redirected-endpoints.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import type { Endpoint } from '../../../protocol/address.ts'
import { needs } from '../../support/needs.ts'
import { at, config, peerOf, type Side, startSides, statsOf } from '../tunnel/sides.ts'
import { endSockets, udpSocket } from './udp-socket.ts'

needs('root', 'netns', 'wireguard-go', 'nft', 'ping')

const [LISTEN, CHECK, OTHER, NOWHERE] = [51820, 51821, 9999, 40_123]
const NOBODY = { endpointOf: () => undefined }
const REQUEST = '000100002112a4420102030405060708090a0b0c'

const rule = suite('redirected endpoints')
let a: Side
let b: Side
let share: PortShare
let ends: (() => void)[]
let nowMs: number
const clock = {
  every: () => ({ cancel: () => undefined }),
  after: (_ms: number, end: () => void) => {
    ends.push(end)
    return { cancel: () => undefined }
  },
  monotonicMs: () => nowMs,
}

rule.before(async () => {
  ;[a, b] = await startSides('wireguard-go')
})
rule.before.each(async () => {
  ends = []
  nowMs = 0
  for (const side of [a, b]) await side.tunnel.configure(config(side))
  const options = { listenPort: LISTEN, checkPort: CHECK, commands: a.host.commands }
  share = await startPortShare({ ...options, clock, log: () => undefined })
})
rule.after.each(async () => {
  await share[Symbol.asyncDispose]()
  await endSockets()
})
rule.after(async () => {
  for (const { tunnel } of [a, b]) await tunnel[Symbol.asyncDispose]()
  for (const { host } of [a, b]) await host[Symbol.asyncDispose]()
})

const rules = (): Promise<string> => a.host.sh('nft list ruleset')

for (const [family, type, second, bits] of [
  ['ipv4', 'udp4', '192.0.2.77', 32],
  ['ipv6', 'udp6', '2001:db8:77::77', 128],
] as const) {
  rule(
    `WireGuard’s packets take the other path, and its own source there (${family})`,
    async () => {
      const [real, left] = [at(b.host[family]), at(b.host[family], NOWHERE)]
      await a.tunnel.configure(config(a, { ...peerOf(b), endpoint: left }))
      await b.tunnel.configure(config(b, peerOf(a)))
      assert.not.ok(await a.host.pings('100.64.0.2'), 'nobody is there')
      await share.redirect([left], real, NOBODY)
      await a.tunnel.restartPeer(b.keys.publicKey)
      await a.tunnel.setEndpoint(b.keys.publicKey, left)
      assert.ok(await a.host.pings('100.64.0.2'))
      assert.equal((await statsOf(b, a.keys.publicKey))?.endpoint, at(a.host[family]))
      nowMs = 3000
      for (const end of ends) end()
      while ((await rules()).includes(`${NOWHERE}`)) await systemClock.sleep(20)
      await a.tunnel.setEndpoint(b.keys.publicKey, left)
      assert.not.ok(await a.host.pings('100.64.0.2'))
    },
  )

  rule(`leaves by another interface, with its address (${family})`, async () => {
    await a.host.sh(
      'ip link add other type veth peer other-end; ip link set other up; ip link set other-end up',
    )
    await a.host.sh(`ip address add ${second}/${bits} dev other${bits === 128 ? ' nodad' : ''}`)
    const far = family === 'ipv4' ? '203.0.113.77' : '2001:db8:78::78'
    await a.host.sh(`ip route add ${far} dev other src ${second}`)
    const taken = await udpSocket(b.host, OTHER, type)
    await a.tunnel.configure(config(a, { ...peerOf(b), endpoint: at(far, NOWHERE) }))
    await share.redirect([at(far, NOWHERE)], at(b.host[family], OTHER), NOBODY)
    await a.host.pings('100.64.0.2')
    const [first = ''] = taken.received
    assert.ok(first.startsWith(`${a.host[family]} ${LISTEN} 01000000`), first)
    await a.host.sh('ip link delete other')
  })

  rule(`the agent carries what goes from ${family} to the other family`, async () => {
    const loopback = family === 'ipv4' ? '127.0.0.1' : '::1'
    const carrier = await udpSocket(a.host, OTHER, type)
    const families: unknown[] = []
    const endpointOf = (wanted: unknown): Endpoint => {
      families.push(wanted)
      return at(loopback, OTHER)
    }
    const to = at(b.host[family === 'ipv4' ? 'ipv6' : 'ipv4'])
    await a.tunnel.configure(config(a, { ...peerOf(b), endpoint: at(b.host[family]) }))
    await share.redirect([at(b.host[family])], to, { endpointOf })
    await a.host.pings('100.64.0.2')
    assert.equal(families, [family === 'ipv4' ? 4 : 6])
    const [first = ''] = carrier.received
    assert.ok(first.startsWith(`${loopback} ${LISTEN} 01000000`), first)
  })

  rule(`checks go where they are sent all the same (${family})`, async () => {
    const check = await udpSocket(a.host, CHECK, type)
    const far = await udpSocket(b.host, OTHER, type)
    await share.redirect([at(b.host[family], OTHER)], at(b.host[family], NOWHERE), NOBODY)
    await check.send(b.host[family], OTHER, REQUEST)
    assert.equal(far.received, [`${a.host[family]} ${LISTEN} ${REQUEST}`])
  })
}

rule('what is in use goes where it is, and the last word about an endpoint holds', async () => {
  const [first, second] = [at(b.host.ipv4), at(b.host.ipv4, NOWHERE)]
  await share.redirect([first, second, at(b.host.ipv6)], first, NOBODY)
  const once = await rules()
  assert.match(once, toOther(NOWHERE, LISTEN))
  assert.not.match(once, toOther(LISTEN, '\\d+'))
  assert.not.match(once, 'ip6 daddr set')
  await share.redirect([first], second, NOBODY)
  const twice = await rules()
  assert.match(twice, toOther(LISTEN, NOWHERE))
  assert.not.match(twice, toOther(NOWHERE, '\\d+'))
})

/** nft shows a rule's matches in an order of its own. */
function toOther(from: number, to: number | string): RegExp {
  return new RegExp(`udp dport ${from} .*daddr set \\S+ udp dport set ${to} `)
}

rule('holds the newest, and no more than its limit', async () => {
  const others = Array.from({ length: REDIRECTIONS + 6 }, (_, index) =>
    at(b.host.ipv4, 1000 + index),
  )
  await share.redirect(others, at(b.host.ipv4), NOBODY)
  const shown = await rules()
  assert.is([...shown.matchAll(/daddr set/g)].length, REDIRECTIONS)
  assert.not.match(shown, 'udp dport 1005 ')
  assert.match(shown, `udp dport ${1000 + REDIRECTIONS + 5} `)
})

rule('says so where the table is gone, or nothing leads there', async () => {
  const failure = async (to: string): Promise<unknown> =>
    share.redirect([at(to, OTHER)], at(to), NOBODY).catch((cause: { code?: string }) => cause.code)
  assert.is(await failure('198.51.100.9'), 'ERR_COMMAND_FAILED')
  await a.host.sh('nft flush ruleset')
  assert.is(await failure(b.host.ipv4), 'ERR_COMMAND_FAILED')
})

rule.run()
