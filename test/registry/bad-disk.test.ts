// time limit: 300 s
/** A registry that runs while its disk becomes full, then read-only, and is mended: seen from outside, over HTTP. */
import { execFile } from 'node:child_process'
import { open, rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RegistryClient, RegistryRefusal } from '../../agent/registry-client.ts'
import { randomBytes } from '../../crypto/random.ts'
import { deviceIdOf } from '../../protocol/keys.ts'
import { systemClock } from '../../registry/system-clock.ts'
import { completeSetup, loginByHttp, organizationsOf } from '../../simulations/lab/login.ts'
import { type ApiAnswer, type Ask, withSession } from '../support/api.ts'
import { newApplicant } from '../support/applicant.ts'
import { needs } from '../support/needs.ts'
import { ADA, temporaryDirectory } from '../support/registry.ts'
import { quietOptions, runRegistry, startedAt, stopped } from '../support/registry-process.ts'

needs('mount')

const rule = suite('registry whose disk fails while it runs')
const run = promisify(execFile)
/** Bytes left for the registry when its disk is filled: some dozens of enrolments. */
const LEFT = 150_000

const disk = await temporaryDirectory()
const state = join(disk, 'state')
/** A disk that nobody else sees, and that goes with those who use it. */
const onSmallDisk = [
  ...['unshare', '--mount', 'sh', '-c'],
  ...['mount -t tmpfs -o size=24m tmpfs "$0" && mkdir "$0/state" && exec "$@"', disk],
]
const registry = runRegistry(quietOptions(state), {}, onSmallDisk)
const { origin } = await startedAt(registry)
const namespace = await open(`/proc/${registry.child.pid}/ns/mnt`)
/** Words before a command that sees that disk. */
const inside = ['nsenter', `--mount=/proc/${process.pid}/fd/${namespace.fd}`]
const filler = `/proc/${registry.child.pid}/root${disk}/filler`
await completeSetup(/https?:\/\/\S+\/setup\/\S+/.exec(registry.stdout())?.[0] ?? '', ADA)
const browser = await loginByHttp(origin, ADA)
const ada = withSession(browser)
const [organization = ''] = await organizationsOf(browser)
const home = `/organizations/${organization}`
const key = await ada('POST', `${home}/registration-keys`, { description: 'x', singleUse: false })
const client = new RegistryClient(origin, () => systemClock.now(), randomBytes)

const acknowledged: string[] = []
async function enrol(): Promise<void> {
  const applicant = newApplicant(`device-${acknowledged.length}`)
  await client.enrol(applicant, { registrationKey: String(key.json['key']) })
  acknowledged.push(deviceIdOf(applicant.deviceKey.publicKey))
}

/** Undefined where none came: on a busy machine an answer may take longer than the client waits. */
function refusalOf(error: unknown): RegistryRefusal | undefined {
  if (error instanceof RegistryRefusal) return error
  if (registry.child.exitCode === null) return undefined
  throw error
}

async function readiness(): Promise<readonly [number, unknown]> {
  const answer = await fetch(`${origin}/readyz`)
  const { code, status } = (await answer.json()) as { code?: string; status?: string }
  return [answer.status, code ?? status]
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const began = performance.now()
  while (!(await holds())) {
    if (performance.now() - began > 60_000) throw new Error(`not within 60 s: ${what}`)
    await systemClock.sleep(100)
  }
}

async function assertNoneLost(asked: Ask = ada): Promise<void> {
  const found = new Set<unknown>()
  for (let cursor: unknown = ''; cursor !== undefined; ) {
    const query = cursor === '' ? '' : `&cursor=${cursor}`
    const { json } = await asked('GET', `${home}/devices?limit=100${query}`)
    for (const { id } of json['devices'] as { id: string }[]) found.add(id)
    cursor = json['next']
  }
  assert.equal(
    acknowledged.filter((id) => !found.has(id)),
    [],
  )
}

rule(
  'full: refuses an enrolment by name, is not ready, and goes on when there is room',
  async () => {
    await enrol()
    const { bavail, bsize } = await statfs(join(filler, '..'))
    await writeFile(filler, new Uint8Array(bavail * bsize - LEFT))
    let refusal: RegistryRefusal | undefined
    for (let count = 0; refusal === undefined && count < 1000; count++) {
      refusal = await enrol().then(() => undefined, refusalOf)
    }
    assert.equal([refusal?.status, refusal?.code], [503, 'disk-full'])
    assert.match(refusal?.message ?? '', "the registry's disk is full: try again when it has space")
    assert.equal(await readiness(), [503, 'disk-full'])
    assert.is((await fetch(`${origin}/healthz`)).status, 200)
    assert.match(registry.stderr(), /No space left on device \(free some space: .*"store\.failed"/)
    // Having tried to go on, in vain, it is as before.
    await until('a try', async () => /the store cannot be opened again/.test(registry.stderr()))
    assert.equal(await readiness(), [503, 'disk-full'])

    await rm(filler)
    await until('ready again', async () => (await readiness())[0] === 200)
    assert.match(registry.stderr(), '"store.recovered"')
    await enrol()
    await assertNoneLost()
  },
)

rule('read-only: refuses what it cannot keep by name, and goes on when it is mended', async () => {
  const [command = '', ...words] = [...inside, 'mount']
  // Another mount over the same directory, by which nothing can be written: what opens a file there fails.
  await run(command, [...words, '--bind', state, state])
  await run(command, [...words, '-o', 'remount,bind,ro', state])
  let answer: ApiAnswer | undefined
  for (let revision = 0; answer?.status !== 503 && revision < 200; revision++) {
    const text = `version: 1\n# ${'x'.repeat(60_000)}\n# ${revision}`
    answer = await ada('PUT', `${home}/policy`, { text, revision })
  }
  assert.equal([answer?.status, answer?.json['code']], [503, 'disk-read-only'])
  assert.match(answer?.headers.get('content-type') ?? '', 'application/problem+json')
  assert.equal(await readiness(), [503, 'disk-read-only'])
  await run(command, [...words.with(-1, 'umount'), state])
  await until('ready again', async () => (await readiness())[0] === 200)
  await enrol()
  await assertNoneLost()
})

rule('started anew it has all that it acknowledged', async () => {
  registry.child.kill('SIGKILL')
  await registry.ended
  const again = runRegistry(quietOptions(state), {}, inside)
  const url = await startedAt(again)
  await assertNoneLost(withSession(await loginByHttp(url.origin, ADA)))
  assert.is(await stopped(again), 0)
})

rule.after(() => namespace.close())
rule.run()
