import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  asksLocalResolver,
  asksResolved,
  hasStub,
  hostSources,
  nameservers,
} from '../../../agent/names/resolver-texts.ts'

const rule = suite('what a host’s files say of its resolver')
const FILES_DNS = 'passwd: files\nhosts: files dns\n'

rule('names its servers', () => {
  assert.equal(
    nameservers('# nameserver 1.1.1.1\n nameserver\t9.9.9.9 \nnameserver ::1\nsearch x\n'),
    ['9.9.9.9', '::1'],
  )
  assert.equal(nameservers(''), [])
})

rule('names its sources of host names, those of the library where nothing is said', () => {
  assert.equal(hostSources('hosts: files mymachines resolve [!UNAVAIL=return] dns # x\n'), [
    'files',
    'mymachines',
    'resolve',
    'dns',
  ])
  assert.equal(hostSources('#hosts: resolve\n'), ['files', 'dns'])
})

rule('tells who asks systemd-resolved', () => {
  assert.ok(asksResolved('nameserver 127.0.0.53\n', FILES_DNS))
  assert.ok(asksResolved('nameserver 9.9.9.9\nnameserver 127.0.0.54\n', FILES_DNS))
  assert.ok(asksResolved('nameserver 9.9.9.9\n', 'hosts: resolve files\n'))
  assert.not(asksResolved('nameserver 9.9.9.9\n', FILES_DNS))
  assert.not(asksResolved('nameserver 127.0.0.1\n', FILES_DNS))
  assert.not(asksResolved('', ''))
})

rule('tells who asks a resolver of its own, and nobody else', () => {
  assert.ok(asksLocalResolver('nameserver 127.0.0.1\nnameserver ::1\n'))
  for (const text of [
    '',
    'nameserver 127.0.0.53\n',
    'nameserver 127.0.0.1\nnameserver 9.9.9.9\n',
    'nameserver 10.0.0.1\n',
  ])
    assert.not(asksLocalResolver(text), text)
})

rule('tells whether systemd-resolved listens in this network namespace', () => {
  const row = (address: string): string =>
    `  sl  local_address rem_address   st\n  854: ${address} 00000000:0000 07 00000000:00000000 00:00000000\n`
  assert.ok(hasStub(row('3500007F:0035')))
  for (const other of ['3600007F:0035', '3500007F:0036', '00000000:0035', '0100007F:0035'])
    assert.not(hasStub(row(other)), other)
  assert.not(hasStub(''))
})

rule.run()
