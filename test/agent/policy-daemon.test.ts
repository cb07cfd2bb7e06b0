// time limit: 600 s
/** A policy from the registry to the packet: real agents without an interface, and what their pings meet. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ANSWERS, POLICY_STATUS } from '../../agent/control/policy-report.ts'
import { PING, STATUS } from '../../agent/control/reports.ts'
import { WHY } from '../../agent/why/report.ts'
import { type Daemons, startDaemons } from '../support/daemons.ts'
import { nexctl } from '../support/nexctl.ts'

let daemons: Daemons

const rule = suite('policy, from the registry to the packet')

rule.before(async () => {
  daemons = await startDaemons(['one', 'two'])
})
rule.after(async () => daemons[Symbol.asyncDispose]())

async function reaches(from: string, to: string): Promise<boolean> {
  return (await daemons.nexctl(from, PING, 'peers', 'ping', to, '-c', '1')).received === 1
}

async function until(what: () => Promise<boolean>): Promise<void> {
  while (!(await what())) await sleep(200)
}

async function save(text: string, revision: number): Promise<void> {
  const { status, json } = await daemons.ada('PUT', `${daemons.home}/policy`, { text, revision })
  assert.is(status, 200, JSON.stringify(json))
  await until(async () => {
    const { devices } = await daemons.nexctl('one', POLICY_STATUS, 'policy', 'status')
    return devices.every((each) => each.state === 'enforced' && each.revision === revision + 1)
  })
}

rule('passes all before there is one', async () => {
  await until(() => reaches('one', 'two'))
  await until(() => reaches('two', 'one'))
  const { policy } = await daemons.nexctl('one', STATUS, 'status')
  assert.is(policy.revision, 0)
})

rule('is enforced by every device soon after it was saved, and each tells the others', async () => {
  const text = `version: 1
default: {inbound: deny, outbound: accept}
security_groups:
  "*":
    inbound_rules: [{ip_protocol: icmp, devices: [one]}]
tests:
  - one -> two icmp: accept
  - two -> one icmp: deny
`
  await save(text, 0)
  assert.ok(await reaches('one', 'two'))
  assert.not(await reaches('two', 'one'))
  const { answers } = await daemons.nexctl('two', ANSWERS, 'policy', 'test', 'two -> one icmp')
  assert.equal(
    answers.map(({ verdict, inbound }) => [verdict, inbound.by]),
    [
      ['deny', 'no-rule'],
      ['deny', 'no-rule'],
    ],
  )
})

rule('is checked before it is saved, and a script stops where a test does not hold', async () => {
  const checked = async (test: string) => {
    const file = join(daemons.folder, 'policy.yaml')
    await writeFile(file, `version: 1\ntests: ['${test}']\n`)
    return nexctl(['--socket', join(daemons.folder, 'one.sock'), 'policy', 'check', file])
  }
  const holds = await checked('one -> two icmp: accept')
  assert.equal([holds.status, holds.stdout], [0, '0 rules; 1 of 1 tests hold\n'])
  const fails = await checked('one -> two icmp: deny')
  assert.is(fails.status, 1)
  assert.match(fails.stdout, /0 of 1 tests hold\ndoes not hold: one -> two icmp: deny/)
})

rule('is denied at the sender, too, whatever the receiver would take', async () => {
  await save('{version: 1, default: {inbound: accept, outbound: deny}}', 1)
  assert.not(await reaches('one', 'two'))
  const { verdict } = await daemons.nexctl('one', WHY, 'why', 'two')
  assert.is(
    verdict.sentence,
    'two is there, but the policy (revision 2) lets nothing pass to it: the rules of one let nothing out to it.',
  )
})

rule('gives back what a later one allows', async () => {
  await save('{version: 1}', 2)
  await until(() => reaches('two', 'one'))
  assert.ok(await reaches('one', 'two'))
  const { policy } = await daemons.nexctl('two', STATUS, 'status')
  assert.equal(policy, { revision: 3, state: 'enforced' })
})

rule.run()
