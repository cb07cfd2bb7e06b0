import { appendFile, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { randomBytes } from '../../crypto/random.ts'
import { memberOf } from '../../protocol/belief.ts'
import { backupLines, restoreBackup, writeBackup } from '../../registry/backup.ts'
import { openLevelStore } from '../../registry/store/level-store.ts'
import { checkSchema } from '../../registry/store/schema.ts'
import { systemClock } from '../../registry/system-clock.ts'
import { temporaryDirectory } from '../support/registry.ts'
import { asker, startCore } from '../support/registry-core.ts'

const rule = suite('backup and restore')
const parts = { clock: systemClock, randomBytes, log: () => undefined }
const createdAt = '2026-11-27T00:00:00.000Z'

/** A registry with one device, and its backup. */
async function backedUp() {
  const core = await startCore()
  await checkSchema(core.store)
  const organization = await core.issuing.found('acme')
  const laptop = asker('laptop')
  await core.enrol(laptop, await core.key(organization))
  const file = join(await temporaryDirectory(), 'backup')
  const { store, stateDirectory } = core
  await writeBackup(file, backupLines({ store, stateDirectory, createdAt }))
  return { core, organization, laptop, file }
}

async function place() {
  const stateDirectory = await temporaryDirectory()
  const location = { kind: 'level', directory: join(stateDirectory, 'store') } as const
  return { ...parts, stateDirectory, location }
}

rule('brings back what was there, keys included: a device renews', async () => {
  const { core, organization, laptop, file } = await backedUp()
  await core[Symbol.asyncDispose]()
  const target = await place()
  const words = await restoreBackup(file, target)
  assert.match(words, /^\d+ records are in level:.*, 2 key files in /)
  await using restored = await startCore({ stateDirectory: target.stateDirectory })
  const { envelopes } = await restored.renew(laptop, organization)
  const state = restored.hear(organization, envelopes)
  assert.is(memberOf(state, laptop.id, restored.clock.now())?.certificate.name, 'laptop')
})

rule('is taken while the registry writes, and is one moment of it', async () => {
  const { core, organization } = await backedUp()
  await using _core = core
  const key = await core.key(organization)
  const file = join(await temporaryDirectory(), 'backup')
  let isDone = false
  const writing = (async () => {
    for (let n = 0; !isDone; n++) await core.enrol(asker(`device-${n}`), key)
  })()
  const { store, stateDirectory } = core
  await writeBackup(file, backupLines({ store, stateDirectory, createdAt }))
  isDone = true
  await writing
  const target = await place()
  await restoreBackup(file, target)
  await using restored = await startCore({ stateDirectory: target.stateDirectory })
  const devices = await restored.devices.list(organization)
  const addresses = devices.flatMap((device) => device.addresses)
  assert.is(new Set(addresses).size, addresses.length)
  // Of one moment: the newest manifest that the head names is there.
  await restored.issuing.foundation(organization)
  await restored.enrol(asker('later'), await restored.key(organization))
})

rule('is a file that nobody else may read', async () => {
  const { core, file } = await backedUp()
  await core[Symbol.asyncDispose]()
  assert.is((await stat(file)).mode & 0o777, 0o600)
})

rule('keeps what was in the place of the restored store beside it', async () => {
  const { core, file } = await backedUp()
  await core[Symbol.asyncDispose]()
  const target = await place()
  {
    await using before = await openLevelStore(target.location.directory)
    await before.commit({ puts: [{ key: 'old', value: Uint8Array.of(1) }] })
  }
  await restoreBackup(file, target)
  await using old = await openLevelStore(`${target.location.directory}.before-restore`)
  assert.ok(await old.get('old'))
  await using store = await openLevelStore(target.location.directory)
  assert.is(await store.get('old'), undefined)
})

rule('is refused while a registry uses the store, which stays as it is', async () => {
  const { core, file } = await backedUp()
  await core[Symbol.asyncDispose]()
  const target = await place()
  await using running = await openLevelStore(target.location.directory)
  const error = await restoreBackup(file, target).catch((e: unknown) => e)
  assert.match(String(error), 'another registry is using it')
  assert.is(await running.get('a'), undefined)
})

rule('is refused where another key is in the place of one, and nothing changes', async () => {
  const { core, organization, file } = await backedUp()
  await core[Symbol.asyncDispose]()
  const target = await place()
  await mkdir(join(target.stateDirectory, 'roots'))
  const path = join(target.stateDirectory, 'roots', `${organization}.key`)
  await writeFile(path, new Uint8Array(32), { mode: 0o600 })
  const error = await restoreBackup(file, target).catch((e: unknown) => e)
  assert.match(String(error), `${organization}.key is another key than the backup's`)
  assert.equal(await readdir(target.stateDirectory), ['roots'])
  assert.equal([...(await readFile(path))], [...new Uint8Array(32)])
})

rule(
  'is refused where the file is damaged, cut short or no backup, before anything changes',
  async () => {
    const { core, file } = await backedUp()
    await core[Symbol.asyncDispose]()
    const whole = await readFile(file, 'utf8')
    const lines = whole.split('\n')
    const changed = lines.map((line, at) =>
      at === 3 ? line.replace('"value":"', '"value":"AAAA') : line,
    )
    const escaping = lines.toSpliced(2, 0, '{"file":"../../etc/passwd","value":""}')
    const bad: [string, RegExp][] = [
      [lines.slice(0, -2).join('\n'), /its end is missing/],
      [lines.slice(0, 5).join('\n'), /its end is missing/],
      ['', /its end is missing/],
      ['{}\n', /line 1: this is not a backup/],
      ['PK\u0003\u0004', /line 1: this is not a backup/],
      [changed.join('\n'), /its sha256 should be/],
      [lines.toSpliced(2, 1).join('\n'), /its records should be/],
      [lines.toSpliced(3, 0, 'nonsense').join('\n'), /line 4: it is damaged/],
      [lines.toSpliced(3, 0, '{"key":"white space","value":""}').join('\n'), /printable ASCII/],
      [escaping.join('\n'), /"..\/..\/etc\/passwd" is no key file/],
      [`${whole}{}\n`, /there is more after the end/],
      [whole.replace('"version":1', '"version":2'), /format version 2/],
      [whole.replace('"schema":1', '"schema":9'), /schema version 9/],
    ]
    for (const [content, message] of bad) {
      const target = await place()
      const damaged = join(await temporaryDirectory(), 'damaged')
      await writeFile(damaged, content)
      const error = await restoreBackup(damaged, target).catch((e: unknown) => e)
      assert.match(String(error), message)
      assert.equal(await readdir(target.stateDirectory), [])
    }
  },
)

rule('says so where the file is not there, or cannot be written', async () => {
  const target = await place()
  const missing = await restoreBackup('/nowhere/backup', target).catch((e: unknown) => e)
  assert.match(String(missing), '/nowhere/backup: cannot be read')
  await using store = await openLevelStore(target.location.directory)
  const lines = backupLines({ store, stateDirectory: target.stateDirectory, createdAt })
  const error = await writeBackup('/nowhere/backup', lines).catch((e: unknown) => e)
  assert.match(String(error), '/nowhere/backup: the backup was not written')
})

rule('replaces an older backup only by a whole one', async () => {
  const file = join(await temporaryDirectory(), 'backup')
  await appendFile(file, 'the older one')
  const broken = async function* () {
    yield 'a line\n'
    throw new Error('the registry died')
  }
  const died = await writeBackup(file, broken()).catch((e: unknown) => e)
  assert.match(String(died), 'the registry died')
  const cut = async function* () {
    yield '{"format":"nexodus-registry-backup","version":1,"schema":1,"createdAt":""}\n'
  }
  assert.match(
    String(await writeBackup(file, cut()).catch((e: unknown) => e)),
    'its end is missing',
  )
  assert.is(await readFile(file, 'utf8'), 'the older one')
})

rule.run()
