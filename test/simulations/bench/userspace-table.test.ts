/** The table of `bench:userspace` over paths. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { PathFigures } from '../../../simulations/bench/userspace-paths.ts'
import { pathsTable } from '../../../simulations/bench/userspace-table.ts'

const CELL = { roundTripMs: 50, lossPercent: 0.1, streams: 8 }
const figures = (changes: Partial<PathFigures>): PathFigures => ({
  ...CELL,
  ...{ direction: 'in', product: 'ours', mbits: 123.4, microseconds: 20.04, memory: 99.6 },
  ...changes,
})

const rule = suite('bench:userspace')

rule('has a row for each path and way, the products side by side', () => {
  const table = pathsTable([
    figures({}),
    figures({ direction: 'out', mbits: 1.25 }),
    figures({ product: 'other', mbits: 200 }),
  ])
  const rows = table.split('\n').map((line) => line.trim().split(/\s{2,}/))
  assert.equal(rows, [
    [
      ...['RTT ms', 'loss %', 'streams', 'way', 'ours: Mbit/s', 'µs', 'MB'],
      ...['other: Mbit/s', 'µs', 'MB', 'ours : other'],
    ],
    ['50', '0.1', '8', 'in', '123', '20.0', '100', '200', '20.0', '100', '0.62'],
    ['50', '0.1', '8', 'out', '1.3', '20.0', '100'],
  ])
})

rule('says where a measurement failed', () => {
  assert.match(pathsTable([figures({ mbits: Number.NaN })]), /in +failed +20\.0/)
})

rule.run()
