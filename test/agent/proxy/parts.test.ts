import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  DEAD_MS,
  foundAlive,
  foundDead,
  newBackends,
  nextBackends,
  withRules,
} from '../../../agent/proxy/backends.ts'
import { FLOW_LIMITS, FlowCount, FlowTable } from '../../../agent/proxy/flow-table.ts'
import { encodeProxyHeader } from '../../../agent/proxy/proxy-header.ts'
import { ConnectionCount, PROXY_LIMITS } from '../../../agent/proxy/proxy-parts.ts'
import { parseProxyRule } from '../../../agent/proxy/proxy-rule.ts'
import { parseIpAddress } from '../../../protocol/address.ts'
import type { Log } from '../../../protocol/log.ts'

const turns = suite('backends')
const A = parseProxyRule('ingress', 'tcp:80:a:1')
const B = parseProxyRule('ingress', 'tcp:80:b:1')
const C = parseProxyRule('ingress', 'tcp:80:c:1')

/** The hosts that calls go to first. */
function calls(backends: ReturnType<typeof newBackends>, count: number, nowMs = 0): string {
  let state = backends
  let hosts = ''
  for (let call = 0; call < count; call += 1) {
    const next = nextBackends(state, nowMs)
    state = next.backends
    hosts += next.order[0]?.host ?? '-'
  }
  return hosts
}

turns('take turns', () => {
  assert.is(calls(newBackends([A, B, C]), 7), 'abcabca')
  assert.is(calls(newBackends([A]), 3), 'aaa')
  assert.is(calls(newBackends([]), 2), '--')
})

turns('are passed over while they are dead, and come back', () => {
  const backends = foundDead(newBackends([A, B, C]), B, 100)
  assert.is(calls(backends, 4, 100), 'acac')
  assert.is(calls(backends, 4, 100 + DEAD_MS - 1), 'acac')
  assert.is(calls(backends, 4, 100 + DEAD_MS), 'abca')
  assert.is(calls(foundAlive(backends, B), 4, 100), 'abca')
})

turns('are all tried, the dead ones last', () => {
  const { order } = nextBackends(foundDead(newBackends([A, B, C]), A, 0), 0)
  assert.equal(order, [B, C, A])
  const none = foundDead(foundDead(newBackends([A, B]), A, 0), B, 0)
  assert.equal(nextBackends(none, 0).order, [A, B])
})

turns('keep what is known of them when others come and go', () => {
  const backends = foundDead(newBackends([A, B, C]), B, 0)
  assert.is(calls(withRules(backends, [B, C]), 2, 0), 'cc')
  assert.equal(withRules(backends, [A, C]).deadMs.size, 0)
  assert.is(calls(withRules(nextBackends(backends, 0).backends, []), 1, 0), '-')
})
turns.run()

const flow = suite('flow table')
const table = (log: Log = () => {}) => ({ name: 'port', count: new FlowCount(), log })

flow('forgets a flow that was silent for a minute, and tells', () => {
  const ended: string[] = []
  const flows = new FlowTable<string>((value) => void ended.push(value), table())
  flows.add('a', 's', 'A', 0)
  flows.add('b', 's', 'B', 10)
  assert.is(flows.heard('a', 30_000), 'A')
  assert.is(flows.heard('x', 30_000), undefined)
  flows.expire(60_009)
  assert.equal(ended, [])
  flows.expire(60_010)
  assert.equal(ended, ['B'])
  flows.expire(30_000 + FLOW_LIMITS.idleMs)
  assert.equal(ended, ['B', 'A'])
  assert.is(flows.size, 0)
})

flow('leaves room for other sources', () => {
  const flows = new FlowTable<number>(() => {}, table())
  for (let index = 0; index < FLOW_LIMITS.ofSource; index += 1)
    flows.add(`greedy ${index}`, 'greedy', index, 0)
  assert.not(flows.hasRoom('greedy', 0))
  assert.ok(flows.hasRoom('other', 0))
})

flow('lets a flow that is silent for a while make room, when there is none', () => {
  const ended: number[] = []
  const flows = new FlowTable<number>((value) => void ended.push(value), table())
  for (let index = 0; index < FLOW_LIMITS.flows; index += 1)
    flows.add(String(index), `source ${index % 3}`, index, index === 0 ? 0 : 5000)
  assert.not(flows.hasRoom('new', FLOW_LIMITS.keptMs - 1))
  assert.equal(ended, [])
  assert.ok(flows.hasRoom('new', FLOW_LIMITS.keptMs))
  assert.equal(ended, [0])
  flows.endAll()
  assert.is(ended.length, FLOW_LIMITS.flows)
  assert.ok(flows.hasRoom('source 1', 0))
})
flow.run()

const count = suite('connection count')

count('bounds all, and each source', () => {
  const connections = new ConnectionCount(() => {})
  for (let index = 0; index < PROXY_LIMITS.ofSource; index += 1) assert.ok(connections.enter('a'))
  assert.not(connections.enter('a'))
  for (let index = 0; index < PROXY_LIMITS.ofSource; index += 1) assert.ok(connections.enter('b'))
  assert.not(connections.enter('c'))
  connections.leave('a')
  assert.ok(connections.enter('c'))
  assert.is(connections.size, PROXY_LIMITS.connections)
})
count('says that it is full once, and again after half was free', () => {
  const told: unknown[] = []
  const connections = new ConnectionCount((_level, _event, fields) => void told.push(fields), {
    connections: 4,
    ofSource: 3,
  })
  const enter = (source: string, times: number) =>
    Array.from({ length: times }, () => connections.enter(source))
  assert.equal(enter('a', 5), [true, true, true, false, false])
  assert.equal(enter('b', 3), [true, false, false])
  const ofA = { name: 'connections', limit: 3, source: 'a' }
  const ofAll = { name: 'connections', limit: 4 }
  assert.equal(told, [ofA, ofAll])
  connections.leave('b')
  assert.equal(enter('b', 2), [true, false])
  assert.is(told.length, 2)
  for (let times = 0; times < 2; times += 1) connections.leave('a')
  assert.equal(enter('a', 3), [true, true, false])
  assert.equal(told, [ofA, ofAll, ofAll])
})
count.run()

const header = suite('PROXY protocol')

header('is version 2, with the name and the address of the source', () => {
  const bytes = encodeProxyHeader(
    { address: parseIpAddress('100.64.0.1'), port: 1025 },
    { address: parseIpAddress('100.64.0.2'), port: 80 },
    'phone',
  )
  assert.is(
    Buffer.from(bytes).toString('hex'),
    '0d0a0d0a000d0a515549540a' +
      '21' +
      '11' +
      '0021' +
      '64400001' +
      '64400002' +
      '0401' +
      '0050' +
      'e00005' +
      Buffer.from('phone').toString('hex') +
      'e1000a' +
      Buffer.from('100.64.0.1').toString('hex'),
  )
})

header('leaves out a name that is not known', () => {
  const bytes = encodeProxyHeader(
    { address: parseIpAddress('fd00::1'), port: 1 },
    { address: parseIpAddress('fd00::2'), port: 2 },
  )
  assert.is(bytes[13], 0x21)
  assert.is(bytes.length, 16 + 36 + 3 + 7)
})
header.run()
