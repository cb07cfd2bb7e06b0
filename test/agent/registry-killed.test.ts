// time limit: 600 s
/** Real agents and three registries on one etcd cluster: what one registry signs reaches agents that meet at another,
 *  and when the registry of an agent is killed the agent goes on with the others. */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { POLICY_STATUS } from '../../agent/control/policy-report.ts'
import { PEERS, PING, STATUS } from '../../agent/control/reports.ts'
import { RegistryClient } from '../../agent/registry-client.ts'
import { randomBytes } from '../../crypto/random.ts'
import { deviceIdOf } from '../../protocol/keys.ts'
import { systemClock } from '../../registry/system-clock.ts'
import { completeSetup, loginByHttp, organizationsOf } from '../../simulations/lab/login.ts'
import { type Ask, withSession } from '../support/api.ts'
import { newApplicant } from '../support/applicant.ts'
import { askDaemon, type RunningDaemon, startDaemon } from '../support/daemons.ts'
import { startEtcd } from '../support/etcd.ts'
import { needs } from '../support/needs.ts'
import { ADA, temporaryDirectory } from '../support/registry.ts'
import {
  completed,
  quietOptions,
  type RegistryProcess,
  runRegistry,
  startedAt,
  stopped,
} from '../support/registry-process.ts'

needs('etcd', 'faketime')

const rule = suite('agents of a registry that is killed')
/** Seconds: half of a certificate's life is over after 300. */
const LIFETIME = 600
/** So much of them has gone by, on the clock of an agent, when its certificate is made: it renews each 30 s. It is less
 *  than the 300 s by which clocks may differ. */
const AHEAD = 270
const LIMIT_MS = 90_000

const cluster = await startEtcd(1)
const sealing = join(await temporaryDirectory(), 'sealing.key')
assert.is((await completed(['store', 'make-key', sealing])).code, 0)

async function start(...options: readonly string[]) {
  const shared = ['--store', cluster.location('killed'), '--key-encryption-key-file', sealing]
  const own = quietOptions(await temporaryDirectory())
  const running = runRegistry([...own, ...shared, ...options])
  const { origin } = await startedAt(running)
  return { running, origin }
}

const first = await start()
await completeSetup(/https?:\/\/\S+\/setup\/\S+/.exec(first.running.stdout())?.[0] ?? '', ADA)
const second = await start()
/** No agent meets another there: nothing listens at what it announces. */
const third = await start('--rendezvous-announce', '/ip4/127.0.0.1/tcp/9')
const browser = await loginByHttp(third.origin, ADA)
const [organization = ''] = await organizationsOf(browser)
const home = `/organizations/${organization}`
const atThird: Ask = withSession(browser)
const lifetime = await atThird('PATCH', home, { membershipLifetime: LIFETIME })
assert.is(lifetime.status, 200, JSON.stringify(lifetime.json))
const made = await atThird('POST', `${home}/registration-keys`, {
  description: 'all',
  singleUse: false,
})
const registrationKey = String(made.json['key'])

const folder = await temporaryDirectory()
const daemons: RunningDaemon[] = []
async function agent(name: string, { origin }: { readonly origin: string }, offset = 0) {
  const preload = execFileSync('faketime', ['-f', '+0', 'printenv', 'LD_PRELOAD']).toString().trim()
  const clock = { LD_PRELOAD: preload, FAKETIME: `+${offset}` }
  const enrolling = { registry: `${origin}#${organization}`, registrationKey }
  const daemon = await startDaemon(folder, name, enrolling, offset === 0 ? {} : clock)
  daemons.push(daemon)
  return daemon
}
const one = await agent('one', first, AHEAD)
await agent('two', third)

async function until(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  const began = systemClock.monotonicMs()
  while (!(await holds())) {
    if (systemClock.monotonicMs() - began > LIMIT_MS) {
      throw new Error(`not within ${LIMIT_MS} ms: ${what}`)
    }
    await systemClock.sleep(200)
  }
}

const renewals = () => one.lines.filter((line) => line.includes('certificate.renewed')).length
const status = (name: string) => askDaemon(folder, name, STATUS, 'status')
const names = async (of: string) =>
  (await askDaemon(folder, of, PEERS, 'peers', 'list')).map(({ name }) => name)
const reaches = async (from: string, to: string) =>
  (await askDaemon(folder, from, PING, 'peers', 'ping', to, '-c', '1')).received === 1

let revision = 0
/** Until a policy has come to all without any of them asking a registry meanwhile. */
async function policySpreads(...all: readonly string[]): Promise<void> {
  await until('a policy that came by gossip', async () => {
    const before = renewals()
    const text = `{version: 1} # ${revision}`
    const { status: answered, json } = await atThird('PUT', `${home}/policy`, { text, revision })
    assert.is(answered, 200, JSON.stringify(json))
    revision += 1
    for (const name of all) {
      await until(`revision ${revision} at ${name}`, async () => {
        const { devices } = await askDaemon(folder, name, POLICY_STATUS, 'policy', 'status')
        return all.every((each) => devices.some((d) => d.name === each && d.revision === revision))
      })
    }
    return renewals() === before
  })
}

/** A device enrols at one registry, and is removed at the third. */
async function memberComesAndGoes(name: string, origin: string): Promise<void> {
  const applicant = newApplicant(name)
  const client = new RegistryClient(origin, () => systemClock.now(), randomBytes)
  await client.enrol(applicant, { registrationKey })
  const id = deviceIdOf(applicant.deviceKey.publicKey)
  for (const agent of ['one', 'two']) {
    await until(`${name} at ${agent}`, async () => (await names(agent)).includes(name))
  }
  assert.is((await atThird('DELETE', `${home}/devices/${id}`)).status, 204)
  for (const agent of ['one', 'two']) {
    await until(`no ${name} at ${agent}`, async () => !(await names(agent)).includes(name))
  }
}

rule('what a registry signs reaches agents that meet at others', async () => {
  await until('one reaches two', () => reaches('one', 'two'))
  await policySpreads('one', 'two')
  await memberComesAndGoes('phone', third.origin)
})

rule('its registry killed, an agent renews and hears of changes without a restart', async () => {
  const before = await status('one')
  assert.equal([before.registry.url, before.registry.reachable], [`${first.origin}/`, true])
  first.running.child.kill('SIGKILL')
  await first.running.ended
  const renewedBefore = renewals()
  await until('a renewal elsewhere', () => renewals() > renewedBefore)
  const { registry, certificate, state } = await status('one')
  assert.equal([state, registry.reachable, registry.connected], ['running', true, true])
  assert.ok((certificate?.notAfter ?? '') > (before.certificate?.notAfter ?? ''))
  await policySpreads('one', 'two')
  await memberComesAndGoes('tablet', second.origin)
})

rule('and meets devices that come afterwards', async () => {
  await agent('three', second)
  await until('one reaches three', () => reaches('one', 'three'))
  await until('three reaches two', () => reaches('three', 'two'))
  assert.ok(daemons.every(({ child }) => child.exitCode === null && child.signalCode === null))
})

async function ended({ child }: RunningDaemon): Promise<void> {
  if (child.exitCode !== null) return
  const exit = once(child, 'exit')
  child.kill('SIGTERM')
  await exit
}

rule.after(async () => {
  await Promise.all(daemons.map(ended))
  const left: readonly RegistryProcess[] = [second.running, third.running]
  await Promise.all(left.map(stopped))
  await cluster[Symbol.asyncDispose]()
})
rule.run()
