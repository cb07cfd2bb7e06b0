// time limit: 600 s
/** Registries as processes on one etcd cluster: from one directory to several machines, and one is killed. */
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Registries } from '../../agent/registries.ts'
import { RegistryClient } from '../../agent/registry-client.ts'
import { randomBytes } from '../../crypto/random.ts'
import { parseOrganizationId } from '../../protocol/keys.ts'
import { systemClock } from '../../registry/system-clock.ts'
import { completeSetup, loginByHttp, organizationsOf } from '../../simulations/lab/login.ts'
import { newApplicant } from '../support/applicant.ts'
import { startEtcd } from '../support/etcd.ts'
import { needs } from '../support/needs.ts'
import { ADA, temporaryDirectory } from '../support/registry.ts'
import {
  completed,
  quietOptions,
  runRegistry,
  startedAt,
  stopped,
} from '../support/registry-process.ts'

needs('etcd')

const rule = suite('registries as processes on etcd')
const cluster = await startEtcd(3)
const clientOf = (url: string) => new RegistryClient(url, () => systemClock.now(), randomBytes)

rule('a registry on level moves to etcd, gets a second one, and may then be killed', async () => {
  const directory = await temporaryDirectory()
  const alone = runRegistry(quietOptions(directory))
  const before = await startedAt(alone)
  await completeSetup(/https?:\/\/\S+\/setup\/\S+/.exec(alone.stdout())?.[0] ?? '', ADA)
  const ada = await loginByHttp(before.origin, ADA)
  const [organization = ''] = await organizationsOf(ada)
  const made = await ada.fetch(`/v1/organizations/${organization}/registration-keys`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: before.origin },
    body: JSON.stringify({ description: 'all', singleUse: false }),
  })
  const { key } = (await made.json()) as { key: string }
  const laptop = newApplicant('laptop')
  await clientOf(before.origin).enrol(laptop, { registrationKey: key })
  assert.is(await stopped(alone), 0)

  const location = cluster.location('moved')
  const copied = await completed(['store', 'copy', `level:${directory}/store`, location])
  assert.is(copied.code, 0, copied.stderr)
  const sealing = join(await temporaryDirectory(), 'sealing.key')
  assert.is((await completed(['store', 'make-key', sealing])).code, 0)
  const shared = ['--store', location, '--key-encryption-key-file', sealing]
  const first = runRegistry([...quietOptions(directory), ...shared])
  const firstUrl = await startedAt(first)
  const second = runRegistry([...quietOptions(await temporaryDirectory()), ...shared])
  const secondUrl = await startedAt(second)

  // A device that knows the first alone, and hears of the second by its answer.
  const registries = new Registries({ registry: firstUrl.href, registries: [] }, clientOf)
  const renew = () => registries.renew(laptop, parseOrganizationId(organization))
  const answer = await renew()
  assert.equal(answer.registries, [firstUrl.origin, secondUrl.origin])
  first.child.kill('SIGKILL')
  await first.ended
  const killedAt = systemClock.monotonicMs()
  const renewed = await renew()
  const seconds = (systemClock.monotonicMs() - killedAt) / 1000
  console.log(`the registry killed: renewed at the other after ${seconds.toFixed(2)} s`)
  assert.equal(renewed.registries[0], secondUrl.origin)
  assert.equal(renewed.organization, organization)
  await clientOf(secondUrl.origin).enrol(newApplicant('phone'), { registrationKey: key })
  assert.equal(await organizationsOf(await loginByHttp(secondUrl.origin, ADA)), [organization])

  // All is in the store: a backup of the cluster needs no registry.
  second.child.kill('SIGKILL')
  await second.ended
  const file = join(await temporaryDirectory(), 'backup')
  const backup = await completed([
    ...['store', 'backup', file, '--state-dir', await temporaryDirectory(), '--store', location],
  ])
  assert.is(backup.code, 0, backup.stderr)
  const occupied = await completed(['store', 'restore', file, '--store', location])
  assert.match(occupied.stderr, 'the target holds records already')
  const elsewhere = cluster.location('restored')
  const target = ['--state-dir', await temporaryDirectory()]
  const restored = await completed(['store', 'restore', file, '--store', elsewhere, ...target])
  assert.is(restored.code, 0, restored.stderr)
  const third = runRegistry([
    ...quietOptions(await temporaryDirectory()),
    ...['--store', elsewhere, '--key-encryption-key-file', sealing],
  ])
  const thirdUrl = await startedAt(third)
  await clientOf(thirdUrl.origin).renew(laptop, parseOrganizationId(organization))
  await stopped(third)
})

rule.after(async () => cluster[Symbol.asyncDispose]())
rule.run()
