import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openKnowledge } from '../../agent/knowledge.ts'
import { OwnStatements, type Reachability } from '../../agent/own-statements.ts'
import { openStateDirectory } from '../../agent/state-directory.ts'
import { systemClock } from '../../agent/system-clock.ts'
import { parsePrefix } from '../../protocol/address.ts'
import { openEnvelope } from '../../protocol/envelope.ts'
import { seconds } from '../../protocol/time.ts'
import { NOON, testOrganization } from '../support/organization.ts'
import { tempDir } from '../support/temp-dir.ts'

const acme = testOrganization('acme')
const laptop = acme.device('laptop')
const rule = suite('own statements')

const REACHABILITY: Reachability = {
  candidates: [],
  multiaddrs: [],
  natMapping: 'endpoint-independent',
  nat: [
    {
      ...{ family: 4, mapping: 'endpoint-independent', filtering: 'unknown' },
      ...{ hairpinning: 'no', portPreserved: 'yes', udp: 'works', lifetime: 11.25 },
    },
  ],
}

rule('say what is known of the NATs once, and again only when it is something else', async () => {
  await using dir = await tempDir()
  const clock = { ...systemClock, now: () => NOON }
  await using directory = await openStateDirectory(join(dir.path, 'state'))
  await using knowledge = await openKnowledge(acme.id, directory, clock, () => undefined)
  for (const bytes of [acme.issuerCertificate(), acme.manifest(), acme.certificate(laptop)])
    knowledge.learn(openEnvelope(bytes))
  const statements = new OwnStatements(knowledge, laptop.key, 'test', clock)
  const said = (reachability: Reachability): number | undefined => {
    const bytes = statements.reachable(reachability)
    const envelope = bytes && openEnvelope(bytes)
    return envelope?.kind === 'endpoint-update'
      ? (envelope.body.nat?.[0]?.lifetime ?? 0)
      : undefined
  }
  assert.is(said(REACHABILITY), 11)
  assert.is(said(REACHABILITY), undefined)
  assert.is(said({ ...REACHABILITY, nat: [] }), 0)
  assert.is(said({ ...REACHABILITY, nat: [] }), undefined)
  assert.is(said(REACHABILITY), 11)
})

rule('are said again, and shown as newer, once the clock that was ahead is right', async () => {
  await using dir = await tempDir()
  let now = NOON
  const clock = { ...systemClock, now: () => now, nowMs: () => now * 1000 }
  await using directory = await openStateDirectory(join(dir.path, 'state'))
  await using knowledge = await openKnowledge(acme.id, directory, clock, () => undefined)
  for (const bytes of [acme.issuerCertificate(), acme.manifest(), acme.certificate(laptop)])
    knowledge.learn(openEnvelope(bytes))
  const statements = new OwnStatements(knowledge, laptop.key, 'test', clock)
  const last = () => knowledge.state().endpoints.get(laptop.id)?.body
  now = seconds(NOON + 3600)
  statements.reachable(REACHABILITY)
  statements.route(parsePrefix('10.7.0.0/16'), { kind: 'advertise' })
  const ahead = last()
  now = NOON
  assert.ok(statements.reachable(REACHABILITY))
  assert.is(last()?.issuedAt, NOON)
  assert.ok((last()?.sequence ?? 0) > (ahead?.sequence ?? 0))
  assert.is(statements.refreshed().length, 1)
  assert.is(statements.reachable(REACHABILITY), undefined)
  assert.is(statements.refreshed().length, 0)
})

rule.run()
