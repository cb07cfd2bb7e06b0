import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { newFloodLog } from '../../agent/flood-log.ts'

function told(many?: number) {
  const lines: unknown[] = []
  const log = newFloodLog((level, event, fields) => lines.push([level, event, fields]), many)
  return { lines, log }
}

const rule = suite('flood log')

rule('says nothing of a few', () => {
  const { lines, log } = told()
  for (let n = 0; n < 99; n++) log.count('x', 'mallory', n)
  assert.equal(lines, [])
})

rule('names who does it, once a minute, with how much it was', () => {
  const { lines, log } = told()
  for (let ms = 0; ms < 180_000; ms += 10) log.count('x', 'mallory', ms, { address: '192.0.2.1' })
  assert.equal(lines[0], ['warn', 'x', { peer: 'mallory', count: 100, address: '192.0.2.1' }])
  assert.equal(lines[1], ['warn', 'x', { peer: 'mallory', count: 5900, address: '192.0.2.1' }])
  assert.ok(lines.length <= 6, `${lines.length} lines in three minutes`)
})

rule('keeps members apart, and remembers no more than so many', () => {
  const { lines, log } = told(2)
  for (const name of ['mallory', 'trudy', 'mallory', 'trudy']) log.count('x', name, 0)
  assert.is(lines.length, 2)
  for (let n = 0; n < 3000; n++) log.count('x', `name ${n}`, 1)
  log.count('x', 'mallory', 2)
  log.count('x', 'mallory', 3)
  assert.is(lines.length, 3)
})

rule.run()
