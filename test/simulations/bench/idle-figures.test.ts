import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  bytesOf,
  cpuSecondsWithChildren,
  extrapolated,
  memoryOf,
} from '../../../simulations/bench/idle-figures.ts'
import { cpuSecondsOf, treeOf } from '../../../simulations/lab/processes.ts'

const rule = suite('figures of idle agents')

rule('bytes are those received and sent of one link, and nothing else is read as such', () => {
  const link = { ifname: 'eth0', stats64: { rx: { bytes: 700, packets: 7 }, tx: { bytes: 42 } } }
  assert.is(bytesOf(JSON.stringify([link])), 742)
  for (const shown of ['[]', '{}', '', JSON.stringify([link, link]), '[{"ifname":"eth0"}]'])
    assert.throws(() => bytesOf(shown), undefined, shown)
})

rule('memory is what a process holds, and nothing where it has ended', () => {
  assert.is(memoryOf('Name:\tnode\nVmHWM:\t    900 kB\nVmRSS:\t    512 kB\n'), 512 * 1024)
  assert.is(memoryOf(''), 0)
})

rule('processor time is that of a process and of its children that have ended', () => {
  const stat = '7 (a) b) S 1 2 3 4 5 6 7 8 9 10 100 20 30 4 20 0 1 0 99'
  assert.is(cpuSecondsWithChildren(stat), 1.54)
  assert.is(cpuSecondsWithChildren(''), 0)
})

rule('more members lie on the line through two measurements, and cost no less than they', () => {
  const close = (found: number, wanted: number): void => assert.ok(Math.abs(found - wanted) < 1e-9)
  close(
    extrapolated(
      [
        [6, 100],
        [11, 150],
      ],
      101,
    ),
    1050,
  )
  close(
    extrapolated(
      [
        [6, 100],
        [11, 90],
      ],
      101,
    ),
    90,
  )
  assert.throws(() => extrapolated([[6, 100]], 101), /two points/)
  assert.throws(
    () =>
      extrapolated(
        [
          [6, 100],
          [6, 90],
        ],
        101,
      ),
    /two points/,
  )
})

rule('processor time is of user and system, whatever the name of the process', () => {
  const stat = '42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 11 0 1234'
  assert.is(cpuSecondsOf(stat), 3)
})

rule('a tree of processes has all that were started, and no one else', () => {
  const listing = '  1  0\n 10  1\n 11 10\n 12 11\n 20  1\n  10 10\n'
  assert.equal(treeOf(10, listing), [10, 11, 12])
  assert.equal(treeOf(99, listing), [99])
})

rule.run()
