import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DeniedPeers } from '../../../agent/mesh/denied.ts'
import type { Clock } from '../../../protocol/clock.ts'

const rule = suite('denied peers')

const watched = () => {
  let nowMs = 0
  const lines: { level: string; event: string; count: unknown }[] = []
  const clock = { monotonicMs: () => nowMs } as Clock
  const denied = new DeniedPeers(clock, (level, event, fields) =>
    lines.push({ level, event, count: fields?.['count'] }),
  )
  return {
    denied,
    warnings: () => lines.filter(({ level }) => level === 'warn'),
    pass: (ms: number) => {
      nowMs += ms
    },
  }
}

rule('are told of once an hour each', () => {
  const { denied, warnings, pass } = watched()
  for (let n = 0; n < 100; n++) denied.tell('peer', 'mesh.peer-refused', {})
  assert.is(warnings().length, 1)
  pass(3_600_000)
  denied.tell('peer', 'mesh.peer-refused', {})
  assert.is(warnings().length, 2)
})

rule('fill no log, however many names a stranger takes; those left out are counted', () => {
  const { denied, warnings, pass } = watched()
  for (let n = 0; n < 5000; n++) denied.tell(`peer ${n}`, 'mesh.peer-refused', {})
  assert.is(warnings().length, 60)
  pass(3_600_000)
  denied.tell('another', 'mesh.peer-refused', {})
  assert.equal(warnings().at(-2), { level: 'warn', event: 'mesh.more-peers-refused', count: 4940 })
})

rule('stay denied until their time, and no longer', () => {
  const { denied, pass } = watched()
  denied.deny('peer', 1000)
  assert.is(denied.isDenied('peer'), true)
  pass(1000)
  assert.is(denied.isDenied('peer'), false)
})

rule('say for a while why they were denied, and nothing of those that were only slow', () => {
  const { denied, pass } = watched()
  denied.deny('peer', 1000, 'clock: far apart')
  denied.deny('slow', 1000)
  pass(5000)
  assert.is(denied.reasonOf('peer'), 'clock: far apart')
  assert.is(denied.reasonOf('slow'), undefined)
  assert.is(denied.reasonOf('another'), undefined)
  pass(180_000)
  assert.is(denied.reasonOf('peer'), undefined)
})

rule.run()
