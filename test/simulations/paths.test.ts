// time limit: 600 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseEndpoint, parseIpAddress } from '../../protocol/address.ts'
import { faultsOf } from '../../simulations/world/paths/judgement.ts'
import { type NatBehaviour, NatBox } from '../../simulations/world/paths/nat-box.ts'
import { type PathRunResult, runPaths } from '../../simulations/world/paths/path-run.ts'
import { isDirectPossible, scenarioOf } from '../../simulations/world/paths/scenario.ts'
import { seededRandom } from '../../simulations/world/virtual-clock.ts'

const RUNS = 1000

const rule = suite('paths on a virtual internet')

const RESTRICTED: NatBehaviour = {
  mapping: 'endpoint-independent',
  filtering: 'address-and-port-dependent',
  preservesPorts: true,
  lifetimeMs: 30_000,
}
const INSIDE = parseEndpoint('192.168.1.10:51820')
const FRIEND = parseEndpoint('198.51.100.7:1')
const OTHER_PORT = parseEndpoint('198.51.100.7:2')
const STRANGER = parseEndpoint('203.0.113.9:1')

function boxOf(changed: Partial<NatBehaviour>): NatBox {
  return new NatBox({ ...RESTRICTED, ...changed }, parseIpAddress('198.18.1.2'), seededRandom(1))
}

for (const [filtering, lets] of [
  ['endpoint-independent', [true, true, true]],
  ['address-dependent', [true, true, false]],
  ['address-and-port-dependent', [true, false, false]],
] as const) {
  rule(`a NAT with ${filtering} filtering lets in what RFC 4787 §5 says`, () => {
    const box = boxOf({ filtering })
    const seen = box.outward(INSIDE, FRIEND, 0)
    const heard = [FRIEND, OTHER_PORT, STRANGER].map((from) => box.inward(seen, from, 1))
    assert.equal(
      heard.map((to) => to !== undefined),
      lets,
    )
  })
}

for (const [mapping, ports] of [
  ['endpoint-independent', 1],
  ['address-dependent', 2],
  ['address-and-port-dependent', 3],
] as const) {
  rule(`a NAT with ${mapping} mapping has a port for what RFC 4787 §4.1 says`, () => {
    const box = boxOf({ mapping, preservesPorts: false })
    const seen = [FRIEND, OTHER_PORT, STRANGER].map((to) => box.outward(INSIDE, to, 0).port)
    assert.is(new Set(seen).size, ports)
    assert.not.ok(seen.includes(INSIDE.port))
  })
}

rule('a mapping ends with its lifetime, and with the state of the box', () => {
  const box = boxOf({})
  const seen = box.outward(INSIDE, FRIEND, 0)
  assert.equal(seen, parseEndpoint('198.18.1.2:51820'))
  assert.equal(box.inward(seen, FRIEND, 29_999), INSIDE)
  assert.is(box.inward(seen, FRIEND, 30_000), undefined)
  box.outward(INSIDE, FRIEND, 40_000)
  box.flush()
  assert.is(box.inward(seen, FRIEND, 40_001), undefined)
})

rule('a direct path needs a side that lets the other’s unknown port in', () => {
  const possible = (a: string, b: string): boolean =>
    isDirectPossible({ kinds: [a, b], isSameSite: false } as never)
  for (const other of ['public', 'full', 'addr']) assert.ok(possible('symm', other), other)
  for (const other of ['fw', 'port', 'port-np', 'cgnat', 'symm', 'udpblock'])
    assert.not.ok(possible('symm', other), other)
  assert.not.ok(possible('public', 'udpblock'))
  assert.ok(possible('cgnat', 'port-np'))
})

rule('the same seed gives the same run', async () => {
  assert.equal(await runPaths(scenarioOf(7)), await runPaths(scenarioOf(7)))
})

rule('a run that breaks a bound is reported, each breach by itself', () => {
  const scenario = { ...scenarioOf(1), kinds: ['port', 'port'], isSameSite: false, loss: 0 }
  const bad: PathRunResult = {
    scenario: scenario as never,
    events: [
      {
        kind: 'start',
        recoveredMs: Infinity,
        longestSilenceMs: 5000,
        switches: 3,
        paths: ['relay', 'direct 198.18.1.2:51820'],
        changes: [],
      },
    ],
  }
  assert.equal(faultsOf(bad), [
    'start: pings flow after Infinity ms, 2000 at most',
    'start: silent for 5000 ms, 600 at most',
    'start: 3 moves, 2 at most',
    'start: path relay, want direct',
  ])
})

rule(
  `${RUNS} runs over random NATs, delays, losses, roams and restarts keep to every bound`,
  async () => {
    const faults: string[] = []
    for (let seed = 1; seed <= RUNS; seed += 1) {
      for (const fault of faultsOf(await runPaths(scenarioOf(seed))))
        faults.push(`${fault} (npm run simulate:paths -- --seed ${seed} --runs 1)`)
    }
    assert.equal(faults, [])
  },
)

rule.run()
