// time limit: 120 s
/** Real systemd-resolved on a real D-Bus, in namespaces. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { packageFiles } from '../../support/debian-package.ts'
import { needs } from '../../support/needs.ts'
import { seenOn } from './host-ground.ts'

needs('root', 'netns', 'nft', 'systemd-resolved')

const seen = await seenOn('resolved', packageFiles('systemd-resolved'))
const rule = suite('a host with systemd-resolved')

rule('asks our resolver for our names, short ones too, and addresses', () => {
  assert.is(seen['by'], 'systemd-resolved', `${seen['obstacles']}\n${seen['events']}`)
  assert.is(seen['while laptop.acme.nexodus'], '100.64.0.1')
  assert.is(seen['while phone.acme.nexodus'], '100.64.0.2')
  assert.is(seen['while phone'], '100.64.0.2')
  assert.is(seen['while www.acme.nexodus'], '100.64.9.9')
  assert.match(seen['while nobody.acme.nexodus'] ?? '', /^status/)
  assert.is(seen['while v6'], 'fd00::2')
  assert.is(seen['while reverse'], '100.64.0.2 phone.acme.nexodus')
})

rule('asks nobody else for them, and us for nothing else', () => {
  assert.is(seen['asked of others'], '')
  assert.is(seen['other'], '192.0.2.1')
  assert.match(seen['state while'] ?? '', /127\.88\.\d\.53/)
  assert.match(seen['state while'] ?? '', /acme\.nexodus ~\S+\.nexodus/)
  assert.match(seen['state while'] ?? '', /~64\.100\.in-addr\.arpa/)
  assert.match(seen['state while'] ?? '', /nx0\): no/)
})

rule('asks resolvers of the organization for the domains that it forwards', () => {
  assert.is(seen['forwarded'], '10.9.8.7')
  assert.match(seen['asked of corp'] ?? '', /A git\.corp\.example/)
})

rule('follows what is believed', () => {
  assert.match(seen['renamed phone'] ?? '', /^(192\.0\.2\.1|status)/)
  assert.is(seen['renamed tablet'], '100.64.0.2')
  assert.not.match(seen['removed tablet'] ?? '', /^100\./)
  assert.is(seen['back phone'], '100.64.0.2')
})

rule('asks the exit in use for all other names, and nobody beside it', () => {
  assert.is(seen['by the exit'], '198.51.100.7')
  assert.is(seen['phone beside the exit'], '100.64.0.2')
  assert.is(seen['asked beside the exit'], '')
  assert.is(seen['forwarded beside the exit'], '10.9.8.7')
  assert.match(seen['strange beside the exit'] ?? '', /^status/)
  assert.match(seen['asked of the exit'] ?? '', /A www\.example\.org/)
  assert.not.match(seen['asked of the exit'] ?? '', /nexodus/)
  assert.match(seen['without a usable exit'] ?? '', /^status/)
  assert.is(seen['without an exit'], '192.0.2.1')
  assert.is(seen['state without an exit'], seen['state while'])
})

rule('is as before after a stop, and after a crash and a start without names', () => {
  assert.is(seen['state after'], seen['state before'])
  assert.match(seen['state of the dead'] ?? '', /acme\.nexodus/)
  assert.is(seen['state at last'], seen['state before'])
  for (const when of ['removed', 'after', 'of the dead', 'at last'])
    assert.is(seen[`hosts ${when}`], seen['hosts before'])
})

rule.run()
