import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { PathStatus } from '../../../agent/path/path-status.ts'
import { type EchoEnd, mayEcho } from '../../../agent/routes/may-echo.ts'
import { ReachWatch, SILENT_MS } from '../../../agent/routes/reach-watch.ts'
import { parseEndpoint, parseIpAddress, parsePrefix } from '../../../protocol/address.ts'
import type { DeviceId } from '../../../protocol/keys.ts'
import { parsePolicyDocument } from '../../../protocol/policy-document.ts'
import type { PolicyRules } from '../../../protocol/policy-rules.ts'
import { VirtualClock } from '../../../simulations/world/virtual-clock.ts'

const PEER = 'peer' as DeviceId
const DIRECT: PathStatus = {
  ...{ kind: 'direct', roundTripMs: 40 },
  endpoint: parseEndpoint('192.0.2.1:51820'),
}
const RELAY: PathStatus = { kind: 'relay' }
const BLOCKED: PathStatus = { ...RELAY, blocked: { endpoint: DIRECT.endpoint, forMs: 1 } }

const rule = suite('reach of a device that has answered echoes and does so no more')
let [clock, path, isAnswering, mayAsk]: [VirtualClock, PathStatus, boolean, boolean] = [
  new VirtualClock(),
  DIRECT,
  true,
  true,
]
let changes = 0

/** Watched for long enough to have answered. */
async function watched(): Promise<ReachWatch> {
  const watch = new ReachWatch({
    clock,
    prober: {
      echo: async () => (isAnswering ? 40 : undefined),
      probe: async () => undefined,
    },
    addressOf: () => parseIpAddress('100.64.0.2'),
    mayEcho: () => mayAsk,
    path: () => path,
    sentBytes: async () => new Map(),
    onChange: () => {
      changes += 1
    },
  })
  watch.watch(new Set(), new Set([PEER]))
  await clock.advance(5000)
  assert.is(watch.reach(PEER).isUp, true)
  return watch
}

rule.before.each(() => {
  ;[clock, path, isAnswering, mayAsk] = [new VirtualClock(), DIRECT, true, true]
  changes = 0
})

/** Was it up at each moment? */
async function isUpFor(watch: ReachWatch, ms: number): Promise<boolean> {
  let isUp = true
  for (let passedMs = 0; passedMs < ms; passedMs += 100) {
    await clock.advance(100)
    isUp &&= watch.reach(PEER).isUp
  }
  return isUp
}

for (const speaking of [DIRECT, RELAY, { kind: 'idle' }] as const)
  rule(`is up where a policy forbids them and its path is ${speaking.kind}`, async () => {
    using watch = await watched()
    ;[mayAsk, isAnswering, path] = [false, false, speaking]
    assert.is(await isUpFor(watch, 120_000), true)
  })

rule('is up though one was answered yet while the policy spread', async () => {
  using watch = await watched()
  mayAsk = false
  assert.is(await isUpFor(watch, 5000), true)
  isAnswering = false
  assert.is(await isUpFor(watch, 120_000), true)
})

rule('is up where they are allowed again, before the other end knows it, too', async () => {
  using watch = await watched()
  ;[mayAsk, isAnswering] = [false, false]
  await clock.advance(20_000)
  mayAsk = true
  assert.is(await isUpFor(watch, 20_000), true)
})

rule('is down where a policy forbids them and its path works no more', async () => {
  using watch = await watched()
  ;[mayAsk, isAnswering] = [false, false]
  await clock.advance(20_000)
  for (const gone of [{ kind: 'connecting' }, { kind: 'offline' }] as const) {
    path = gone
    assert.is(watch.reach(PEER).isUp, false, gone.kind)
  }
})

rule('is down at once where nothing forbids them, whatever its path says yet', async () => {
  using watch = await watched()
  isAnswering = false
  await clock.advance(2500)
  assert.equal([watch.reach(PEER).isUp, changes], [false, 1])
})

rule('is up again when its path alone has worked for long: a firewall of its own', async () => {
  using watch = await watched()
  isAnswering = false
  await clock.advance(SILENT_MS - 5000)
  assert.is(watch.reach(PEER).isUp, false)
  await clock.advance(10_000)
  assert.equal([watch.reach(PEER).isUp, changes], [true, 2])
  assert.is(await isUpFor(watch, 300_000), true)
})

for (const [what, pathAt] of [
  ['ceases now and then', (ms: number) => (ms % 30_000 === 0 ? { kind: 'connecting' } : DIRECT)],
  ['passes checks and carries no packets', () => BLOCKED],
] as const)
  rule(`stays down where the path ${what}`, async () => {
    using watch = await watched()
    isAnswering = false
    for (let second = 0; second < 200; second += 1) {
      path = pathAt(second * 1000) as PathStatus
      await clock.advance(1000)
    }
    assert.is(watch.reach(PEER).isUp, false)
  })

const echoes = suite('echoes under a policy')
const END = { owner: '', addresses: [parsePrefix('100.64.0.1/32'), parsePrefix('fd00::1/128')] }
const [user, router]: readonly EchoEnd[] = [
  { ...END, name: 'user', groups: ['office'] },
  { ...END, name: 'router', groups: ['routers'] },
] as const
const may = (text: string, address = '100.64.0.2'): boolean => {
  const rules: PolicyRules = { ...parsePolicyDocument(text).rules, revision: 1 }
  return mayEcho(rules, user as EchoEnd, router as EchoEnd, parseIpAddress(address))
}

const RULES = 'version: 1\ndefault: {inbound: accept, outbound: accept}\nsecurity_groups: '
for (const [what, groups, expected] of [
  ['nothing is denied', '{}', [true, true]],
  [
    'the other end takes TCP alone',
    '{routers: {inbound_rules: [{ip_protocol: tcp}]}}',
    [false, false],
  ],
  ['this end sends TCP alone', '{office: {outbound_rules: [{ip_protocol: tcp}]}}', [false, false]],
  [
    'an echo of IPv4 is taken',
    '{routers: {inbound_rules: [{ip_protocol: icmpv4}]}}',
    [true, false],
  ],
  [
    'they come by address',
    '{routers: {inbound_rules: [{ip_ranges: [100.64.0.1]}]}}',
    [true, false],
  ],
  ['others may', '{routers: {inbound_rules: [{groups: [other]}]}}', [false, false]],
] as const)
  echoes(`pass or do not, by IPv4 and IPv6, where ${what}`, () => {
    assert.equal([may(RULES + groups), may(RULES + groups, 'fd00::2')], [...expected])
  })

echoes.run()
rule.run()
