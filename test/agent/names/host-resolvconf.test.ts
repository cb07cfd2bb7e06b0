// time limit: 120 s
/** Real openresolv, with dnsmasq as the host's own resolver, in namespaces. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { packageFiles } from '../../support/debian-package.ts'
import { needs } from '../../support/needs.ts'
import { seenOn } from './host-ground.ts'

needs('root', 'netns', 'openresolv')

const roots = ['openresolv', 'dnsmasq-base'].map((name) => packageFiles(name)).join(':')
const seen = await seenOn('resolvconf', roots)
const rule = suite('a host with openresolv and a resolver of its own')

rule('asks our resolver for our names, short ones too, and addresses', () => {
  assert.is(seen['by'], 'resolvconf', `${seen['obstacles']}\n${seen['events']}`)
  assert.is(seen['while laptop.acme.nexodus'], '100.64.0.1')
  assert.is(seen['while phone.acme.nexodus'], '100.64.0.2')
  assert.is(seen['while phone'], '100.64.0.2')
  assert.is(seen['while www.acme.nexodus'], '100.64.9.9')
  assert.is(seen['while v6'], 'fd00::2')
  assert.is(seen['while reverse'], '100.64.0.2 phone.acme.nexodus')
  assert.is(seen['forwarded'], '10.9.8.7')
})

rule('asks others as before for all else', () => {
  assert.is(seen['other'], '192.0.2.1')
  assert.match(seen['state while'] ?? '', /server=\/acme\.nexodus\/100\.64\.0\.1/)
  assert.not.match(seen['state while'] ?? '', /nameserver (127\.88|100)/)
  assert.not.match(seen['asked of others'] ?? '', /\.acme\.nexodus/)
})

rule('is as before after a stop, and after a crash and a start without names', () => {
  assert.is(seen['state after'], seen['state before'])
  assert.match(seen['state of the dead'] ?? '', /acme\.nexodus/)
  assert.is(seen['state at last'], seen['state before'])
  for (const when of ['removed', 'after', 'of the dead', 'at last'])
    assert.is(seen[`hosts ${when}`], seen['hosts before'])
})

rule.run()
