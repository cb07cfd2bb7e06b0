// time limit: 120 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { needs } from '../../support/needs.ts'
import { seenOn } from './host-ground.ts'

needs('root', 'netns')

const KINDS = ['hosts', 'hosts-mounted'] as const
const looks = await Promise.all(KINDS.map(async (kind) => ({ kind, seen: await seenOn(kind) })))
const readOnly = await seenOn('hosts-read-only')

for (const { kind, seen } of looks) {
  const rule = suite(`a host without systemd-resolved (${kind})`)

  rule('has the names in its hosts file', () => {
    assert.is(seen['by'], 'hosts', seen['events'])
    assert.match(seen['obstacles'] ?? '', /^systemd-resolved: it does not run here; resolvconf: /)
    assert.is(seen['while laptop.acme.nexodus'], '100.64.0.1')
    assert.is(seen['while phone.acme.nexodus'], '100.64.0.2')
    assert.is(seen['while phone'], '100.64.0.2')
    assert.is(seen['while www.acme.nexodus'], '100.64.9.9')
    assert.is(seen['while v6'], 'fd00::2')
    assert.is(seen['while reverse'], '100.64.0.2 phone.acme.nexodus phone')
    assert.is(seen['nas'], '10.1.1.1 nas.example nas')
    assert.is(seen['other'], '192.0.2.1')
  })

  rule('follows what is believed', () => {
    assert.is(seen['renamed phone'], '192.0.2.1', 'asked of the host’s own resolver again')
    assert.is(seen['renamed tablet'], '100.64.0.2')
    assert.is(seen['renamed reverse'], '100.64.0.2 tablet.acme.nexodus tablet')
    assert.is(seen['hosts removed'], seen['hosts before'])
    assert.is(seen['back phone'], '100.64.0.2')
  })

  rule('is as before after a stop, and after a crash and a start without names', () => {
    assert.is(seen['hosts after'], seen['hosts before'])
    assert.match(seen['hosts of the dead'] ?? '', /phone\.acme\.nexodus/)
    assert.is(seen['hosts at last'], seen['hosts before'])
    assert.is(seen['same mode'], 'true')
    // Mounted by itself it can't be replaced.
    assert.is(seen['same file'], String(kind === 'hosts-mounted'))
  })

  rule.run()
}

const rule = suite('a host that lets nothing be changed')
rule('stays as it is, and why is told', () => {
  assert.is(readOnly['by'], 'none', readOnly['events'])
  assert.match(readOnly['obstacles'] ?? '', /hosts: .*EROFS/)
  for (const when of ['after', 'at last'])
    assert.is(readOnly[`hosts ${when}`], readOnly['hosts before'])
  assert.match(readOnly['at'] ?? '', /^127\.88\./)
})
rule.run()
