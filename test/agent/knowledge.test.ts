import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Level } from 'level'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openKnowledge } from '../../agent/knowledge.ts'
import { openStateDirectory } from '../../agent/state-directory.ts'
import { systemClock } from '../../agent/system-clock.ts'
import { membersOf } from '../../protocol/belief.ts'
import type { Clock } from '../../protocol/clock.ts'
import { envelopeId, openEnvelope } from '../../protocol/envelope.ts'
import { deviceIdOf } from '../../protocol/keys.ts'
import type { Log } from '../../protocol/log.ts'
import { type Seconds, seconds } from '../../protocol/time.ts'
import { NOON, testOrganization } from '../support/organization.ts'

const acme = testOrganization('acme')
const rule = suite('state directory and knowledge')
const quiet: Log = () => {}
const at = (now: Seconds): Clock => ({ ...systemClock, now: () => now })
const all = [
  acme.issuerCertificate(),
  acme.manifest(),
  acme.certificate(acme.device('laptop')),
  acme.certificate(acme.device('phone')),
]

async function inDirectory(work: (path: string) => Promise<void>): Promise<void> {
  const path = await mkdtemp(join(tmpdir(), 'nexodus-test-'))
  try {
    await work(join(path, 'state'))
  } finally {
    await rm(path, { recursive: true })
  }
}

/** Opens, lets `work` learn, closes: one run of the daemon. */
async function session(
  path: string,
  now: Seconds,
  learn: readonly Uint8Array[] = [],
): Promise<readonly string[]> {
  await using directory = await openStateDirectory(path)
  await using knowledge = await openKnowledge(acme.id, directory, at(now), quiet)
  for (const bytes of learn) knowledge.learn(openEnvelope(bytes))
  return [...membersOf(knowledge.state(), now).values()]
    .map(({ certificate }) => certificate.name)
    .toSorted()
}

rule('keeps keys and envelopes over a restart', () =>
  inDirectory(async (path) => {
    let first = ''
    {
      await using directory = await openStateDirectory(path)
      first = deviceIdOf(directory.deviceKey.publicKey)
    }
    assert.equal(await session(path, NOON, all), ['laptop', 'phone'])
    assert.equal(await session(path, NOON), ['laptop', 'phone'])
    await using again = await openStateDirectory(path)
    assert.is(deviceIdOf(again.deviceKey.publicKey), first)
  }),
)

rule('writes keys that only the owner may read, and refuses to use others', () =>
  inDirectory(async (path) => {
    await session(path, NOON)
    for (const name of ['device.key', 'wireguard.key']) {
      assert.is((await stat(join(path, name))).mode & 0o777, 0o600)
    }
    const { chmod } = await import('node:fs/promises')
    await chmod(join(path, 'device.key'), 0o644)
    await refuses(path, /device\.key.*644.*chmod 600/)
  }),
)

rule('loses nothing by a clock ten years ahead or behind', () =>
  inDirectory(async (path) => {
    await session(path, NOON, all)
    const years = 10 * 365 * 86_400
    assert.equal(await session(path, seconds(NOON + years)), [])
    assert.equal(await session(path, seconds(NOON - years)), [])
    assert.equal(await session(path, NOON), ['laptop', 'phone'])
  }),
)

rule('forgets on disk what has ended, when the clock can be trusted', () =>
  inDirectory(async (path) => {
    await session(path, NOON, all)
    const later = seconds(NOON + 3 * 86_400)
    await session(path, later, [acme.manifest({ sequence: 2, issuedAt: later })])
    await using directory = await openStateDirectory(path)
    assert.is((await directory.envelopes()).envelopes.length, 2)
  }),
)

/** Signed by another key than it says. */
function forged(name: string): Uint8Array {
  const bytes = Uint8Array.from(acme.certificate(acme.device(name)))
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1
  return bytes
}

/** What the device says of itself, which proves nothing of its clock. */
async function ownUpdate(path: string, now: Seconds): Promise<Uint8Array> {
  await using directory = await openStateDirectory(path)
  const key = directory.deviceKey
  const own = { ...acme.device('own'), id: deviceIdOf(key.publicKey), key }
  return acme.endpoint(own, { issuedAt: now, notAfter: seconds(now + 86_400) })
}

rule('verifies no signature again of what it has kept itself', () =>
  inDirectory(async (path) => {
    await session(path, NOON, all)
    const own = forged('tablet')
    {
      await using directory = await openStateDirectory(path)
      const { envelopes } = await directory.envelopes()
      const ids = new Set([...envelopes, own].map(envelopeId))
      await directory.keep(new Map([[envelopeId(own), own]]), [], ids)
    }
    assert.equal(await session(path, NOON), ['laptop', 'phone', 'tablet'])
  }),
)

rule('vouches for what an older version has kept, once it has verified it', () =>
  inDirectory(async (path) => {
    await session(path, NOON, all)
    const vouched = async (): Promise<boolean> => {
      await using directory = await openStateDirectory(path)
      const { envelopes, areVerified } = await directory.envelopes()
      return areVerified(new Set(envelopes.map(envelopeId)))
    }
    {
      await using store = new Level(join(path, 'envelopes'))
      await store.del('seal')
    }
    assert.not(await vouched())
    await session(path, NOON)
    assert.ok(await vouched())
  }),
)

rule('verifies all where anything but the device itself has written to its store', () =>
  inDirectory(async (path) => {
    await session(path, NOON, all)
    const other = forged('tablet')
    {
      await using store = new Level<string, Uint8Array>(join(path, 'envelopes'), {
        valueEncoding: 'view',
      })
      await store.put(envelopeId(other), other)
    }
    // While the clock is not plausible nothing is removed from disk: what is not signed is still not vouched for.
    const later = seconds(NOON + 10 * 365 * 86_400)
    await session(path, later, [await ownUpdate(path, later)])
    assert.equal(await session(path, NOON), ['laptop', 'phone'])
    assert.equal(await session(path, NOON, [acme.manifest({ sequence: 2 })]), ['laptop', 'phone'])
    await using directory = await openStateDirectory(path)
    const { envelopes, areVerified } = await directory.envelopes()
    const ids = new Set(envelopes.map(envelopeId))
    assert.not(ids.has(envelopeId(other)))
    assert.ok(areVerified(ids))
    assert.not(areVerified(new Set([...ids].slice(1))))
  }),
)

rule('takes what others said for what the clock must be, and nothing of its own', () =>
  inDirectory(async (path) => {
    const day = seconds(NOON + 86_400)
    const newest = async (now: Seconds): Promise<readonly Seconds[]> => {
      await using directory = await openStateDirectory(path)
      await using knowledge = await openKnowledge(acme.id, directory, at(now), quiet)
      const key = directory.deviceKey
      const own = { ...acme.device('own'), id: deviceIdOf(key.publicKey), key }
      const loaded = knowledge.newestStatement()
      const validity = { issuedAt: now, notAfter: seconds(now + 86_400) }
      for (const bytes of [...all, acme.certificate(own), acme.endpoint(own, validity)])
        knowledge.learn(openEnvelope(bytes))
      return [loaded, knowledge.newestStatement()]
    }
    const [, heard] = await newest(day)
    assert.ok((heard ?? day) <= NOON)
    assert.is((await newest(NOON))[0], heard)
  }),
)

rule('refuses a corrupt join.json and leaves it as it is', () =>
  inDirectory(async (path) => {
    await session(path, NOON)
    await writeFile(join(path, 'join.json'), '{"registry": 7')
    await refuses(path, /join\.json is corrupt/)
    assert.is(await readFile(join(path, 'join.json'), 'utf8'), '{"registry": 7')
  }),
)

rule('refuses a key file of the wrong length', () =>
  inDirectory(async (path) => {
    await session(path, NOON)
    await writeFile(join(path, 'wireguard.key'), 'short')
    await refuses(path, /wireguard\.key has 5 bytes, want 32/)
  }),
)

rule('refuses a directory that another daemon uses', () =>
  inDirectory(async (path) => {
    await using _held = await openStateDirectory(path)
    await refuses(path, /is in use by another nexd/)
  }),
)

rule('refuses a path that can not be a directory', () =>
  inDirectory(async (path) => {
    await session(path, NOON)
    await refuses(join(path, 'device.key'), /cannot write state directory/)
  }),
)

async function refuses(path: string, message: RegExp): Promise<void> {
  try {
    await using _directory = await openStateDirectory(path)
  } catch (error) {
    assert.instance(error, Error)
    assert.match(error instanceof Error ? error.message : '', message)
    return
  }
  assert.unreachable(`${path} was opened`)
}

rule.run()
