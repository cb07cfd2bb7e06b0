import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { NamesReport } from '../../../agent/control/names-report.ts'
import { namesStatusText, namesText } from '../../../agent/nexctl-names.ts'

const REPORT: NamesReport = {
  by: 'hosts',
  domain: 'acme.nexodus',
  idDomain: `${'a'.repeat(26)}.nexodus`,
  resolver: '127.88.0.53:53',
  obstacles: ['systemd-resolved: it does not run here'],
  names: [
    {
      name: 'phone.acme.nexodus',
      addresses: ['100.64.0.2', 'fd00::2'],
      device: 'phone',
      origin: 'device',
    },
    { name: 'db.acme.nexodus', addresses: ['10.99.0.1'], device: 'phone', origin: 'record' },
    { name: 'printer.acme.nexodus', addresses: ['10.0.0.9'], origin: 'record' },
  ],
  forwards: [{ domain: 'corp.example', resolvers: ['10.0.0.53:53', '10.0.1.53:53'] }],
}

const rule = suite('what nexctl says of names')

rule('tells who has each, and how programs come to them', () => {
  assert.is(
    namesText(REPORT),
    `acme.nexodus by /etc/hosts, resolver 127.88.0.53:53
  not by systemd-resolved: it does not run here
corp.example is asked of 10.0.0.53:53, 10.0.1.53:53, by our resolver alone

NAME                  ADDRESSES           DEVICE
phone.acme.nexodus    100.64.0.2 fd00::2  phone
db.acme.nexodus       10.99.0.1           held by phone
printer.acme.nexodus  10.0.0.9            -`,
  )
})

rule('says in one line of the status where they are', () => {
  assert.is(
    namesStatusText({ ...REPORT, by: 'systemd-resolved' }),
    'acme.nexodus by systemd-resolved, resolver 127.88.0.53:53',
  )
  assert.is(
    namesStatusText({ by: 'off', domain: 'acme.nexodus' }),
    'acme.nexodus not on this host (--no-names)',
  )
  assert.is(namesStatusText({ by: 'none' }), 'none')
  assert.is(namesStatusText(undefined), 'none')
})

rule('does not say that forwarding is for our resolver alone where the host asks it', () => {
  assert.match(namesText({ ...REPORT, by: 'systemd-resolved' }), /10\.0\.1\.53:53\n/)
})

rule('says who is asked for all other names while an exit is in use', () => {
  const by = (...resolvers: readonly string[]) =>
    namesText({ ...REPORT, forwards: [{ domain: '.', resolvers: [...resolvers] }] })
  assert.match(by('100.64.0.3:53'), /^every other name is asked of the exit in use$/m)
  assert.match(by(), /^no other name is found: no exit is usable$/m)
})

rule.run()
