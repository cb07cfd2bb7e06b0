import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { echoesOf } from '../../../simulations/lab/probe.ts'
import { outcomeOf } from '../../../simulations/matrix/outcome.ts'
import { parsePair } from '../../../simulations/matrix/pairs.ts'
import { cell, shortcomings, summaryTable, table } from '../../../simulations/matrix/table.ts'

const rule = suite('what echoes tell')
const START = 1000

/** Sent every 50 ms from the start on; `undefined` for one without an answer. */
function echoes(...roundTrips: readonly (number | undefined)[]) {
  return roundTrips.map((ms, index) => {
    const sentMs = START + index * 50
    return { sentMs, receivedMs: ms === undefined ? undefined : sentMs + ms }
  })
}

function outcome(...roundTrips: readonly (number | undefined)[]) {
  return outcomeOf(echoes(...roundTrips), START, START + 50 * roundTrips.length + 2000, 60)
}

rule('reads the lines of the probe, whatever else is between them', () => {
  const lines = ['ready', 's 1 10.000', 's 2 60.500', 'r 1 10.000 50.250', 'r x', 's 3', 's 4 -1.0']
  assert.equal(echoesOf(lines), [
    { sentMs: 10, receivedMs: 50.25 },
    { sentMs: 60.5, receivedMs: undefined },
  ])
  assert.equal(echoesOf([]), [])
})

rule('a run without an answer failed, and lost nothing afterwards', () => {
  assert.equal(outcome(), { path: 'failed', lost: 0 })
  assert.equal(outcome(undefined, undefined), { path: 'failed', lost: 0 })
})

rule('a run is relayed at first and direct later', () => {
  const found = outcome(undefined, 85, 82, undefined, 42, 41, 43)
  assert.equal(found, {
    path: 'direct',
    firstMs: 50 + 85,
    directMs: 200 + 42,
    roundTripMs: 41,
    lost: 1,
  })
})

rule('a busy machine makes no relay of a direct path, nor one fast answer a direct one', () => {
  assert.is(outcome(...Array<number>(30).fill(95), 41).path, 'direct')
  const back = outcome(41, ...Array<number>(30).fill(95))
  assert.is(back.path, 'relayed')
  assert.is(back.directMs, undefined)
})

rule('what was sent before the first answer came, or just before the end, is not lost', () => {
  assert.is(outcome(undefined, 90, undefined, undefined).lost, 1)
  const late = echoes(40, 40, undefined)
  assert.is(outcomeOf(late, START, START + 200, 60).lost, 0)
  assert.is(outcomeOf(late, START, START + 2000, 60).lost, 1)
})

rule('a cell says how, how soon, and how often not', () => {
  const direct = { path: 'direct', firstMs: 200, directMs: 400, lost: 0 } as const
  const failed = { path: 'failed', lost: 0 } as const
  assert.is(cell([]), '-')
  assert.is(cell([direct]), 'D 0.20 >D 0.40')
  assert.is(cell([{ ...direct, directMs: 200 }]), 'D 0.20')
  assert.is(cell([failed, failed]), 'fail 2/2')
  const relayed = { path: 'relayed', firstMs: 900, lost: 0 } as const
  assert.is(cell([relayed, direct, failed]), 'D/R 0.20 (0.20-0.90) >D 0.40, fail 1/3')
})

rule('tables count a pair as connected only where every run of it was', () => {
  const pairs = ['port+port', 'port+symm', 'symm+symm'].map(parsePair)
  const results = [
    {
      product: 'x',
      pair: 'port+port',
      run: 1,
      path: 'direct',
      firstMs: 300,
      directMs: 500,
      lost: 2,
    },
    { product: 'x', pair: 'port+port', run: 2, path: 'relayed', firstMs: 310, lost: 0 },
    { product: 'x', pair: 'port+symm', run: 1, path: 'relayed', firstMs: 500, lost: 1 },
    { product: 'x', pair: 'port+symm', run: 2, path: 'failed', lost: 0 },
  ] as const
  const text = summaryTable(pairs, ['x', 'y'], results)
  assert.match(text, /^x +1 of 2 +0 of 1 +0\.31 +0\.50 +3$/m)
  assert.match(text, /^y +0 of 0 +0 of 0 +- +- +0$/m)
  assert.equal(shortcomings(pairs, 'x', results), [
    'port+port: still relayed in 1 of 2',
    'port+symm: not connected in 1 of 2',
  ])
  assert.match(table(pairs, ['x', 'y'], results), /^symm - symm +- +-$/m)
})

rule.run()
