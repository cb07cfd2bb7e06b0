import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { pacedLog } from '../../agent/paced-log.ts'
import type { Log } from '../../protocol/log.ts'

function lines() {
  const clock = { ms: 0, monotonicMs: () => clock.ms }
  const written: Parameters<Log>[] = []
  return { clock, written, log: pacedLog((...line) => written.push(line), clock) }
}

const rule = suite('paced log')

rule('writes of one member three lines of a kind in a minute, and counts the others', () => {
  const { clock, written, log } = lines()
  for (clock.ms = 0; clock.ms < 3_600_000; clock.ms += 1000)
    log('info', 'peer.path-changed', { peer: 'mallory', path: 'relay' })
  assert.ok(written.length <= 60 + 180, `${written.length} lines in an hour`)
  const told = written.reduce(
    (sum, [, , fields]) => sum + 1 + Number(fields?.['notLogged'] ?? 0),
    0,
  )
  assert.ok(3600 - told < 21, `${told} of 3600 accounted for`)
})

rule('keeps members, and kinds of lines, apart', () => {
  const { written, log } = lines()
  for (let n = 0; n < 100; n++) log('warn', 'a', { peer: 'mallory' })
  log('warn', 'a', { peer: 'ana' })
  log('warn', 'b', { name: 'mallory' })
  log('error', 'c', { device: 'mallory' })
  assert.equal(
    written.slice(60).map(([, event]) => event),
    ['a', 'b', 'c'],
  )
})

rule('keeps what one organization makes apart from what another does', () => {
  const { written, log } = lines()
  const refused = (organization: string, n: number) =>
    log('warn', 'organization.refused', { organization, kind: 'prefix', value: `10.1.${n}.0/24` })
  for (let n = 0; n < 200; n++) refused('evil', n)
  refused('beta', 1)
  assert.is(written.length, 61)
})

rule('leaves alone what is about nobody, and what is there for those who search', () => {
  const { written, log } = lines()
  for (let n = 0; n < 100; n++) {
    log('info', 'network.changed')
    log('debug', 'mesh.stream-failed', { peer: 'mallory' })
  }
  assert.is(written.length, 200)
})

rule.run()
