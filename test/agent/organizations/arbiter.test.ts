import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Arbiter, openArbiter } from '../../../agent/organizations/arbiter.ts'
import { type Claim, FIRST } from '../../../agent/organizations/claims.ts'
import type { Share } from '../../../agent/organizations/share.ts'
import type { Wants } from '../../../agent/organizations/wants.ts'
import { parsePrefix } from '../../../protocol/address.ts'
import { parseOrganizationId } from '../../../protocol/keys.ts'
import { NOON, testOrganization } from '../../support/organization.ts'
import { type TempDir, tempDir } from '../../support/temp-dir.ts'

const LAN: Claim = { kind: 'prefix', value: parsePrefix('192.168.7.0/24') }

function wants(letter: string, range: string, ...claims: readonly Claim[]): Wants {
  const organization = parseOrganizationId(`${letter.repeat(25)}a`)
  const own: Claim = { kind: 'range', value: parsePrefix(range) }
  return { organization, name: letter, addresses: [], claims: [own, ...claims] }
}
const [acme, beta] = [
  (...claims: readonly Claim[]) => wants('a', '100.64.0.0/10', ...claims),
  (...claims: readonly Claim[]) => wants('b', '10.77.0.0/16', ...claims),
]

interface Scene {
  readonly arbiter: Arbiter
  readonly logged: string[]
  readonly told: Share[]
}

async function scene(
  folder: TempDir,
  others: readonly string[] = [],
  isHostShared = true,
): Promise<Scene> {
  const logged: string[] = []
  const arbiter = await openArbiter({
    ...{ file: join(folder.path, 'held.json'), ports: [51820], others, isHostShared },
    log: (level, event, fields) => void logged.push(`${level} ${event} ${JSON.stringify(fields)}`),
  })
  return { arbiter, logged, told: [] }
}

const granted = (share: Share | undefined): readonly string[] =>
  (share?.granted ?? []).map(({ value }) => value)

const rule = suite('the arbiter of a host')

rule('asks nothing of an organization that is alone', async () => {
  await using folder = await tempDir()
  const { arbiter } = await scene(folder)
  assert.is(arbiter.seat.current, undefined)
})

rule('gives nobody anything before the first has said what is its own', async () => {
  await using folder = await tempDir()
  const { arbiter, told } = await scene(folder)
  arbiter.open('beta', { ports: [51830], tell: (share) => void told.push(share) })
  arbiter.said('beta', wants('b', '100.64.0.0/10'))
  arbiter.said(FIRST, undefined)
  assert.equal(told, [])
  // The first keeps all meanwhile.
  assert.is(arbiter.seat.current, undefined)
  arbiter.said(FIRST, acme())
  assert.equal(granted(arbiter.seat.current), ['100.64.0.0/10'])
  assert.equal([granted(told.at(-1)), told.at(-1)?.refused.length], [[], 1])
  assert.equal([told.at(-1)?.names, told.at(-1)?.ports], [{ [FIRST]: 'a' }, [51820]])
  await arbiter.settled()
})

rule('takes nothing from the first when another comes, and asks it what is its own', async () => {
  await using folder = await tempDir()
  const { arbiter } = await scene(folder)
  const seen: (Share | undefined)[] = []
  const isTelling: boolean[] = []
  arbiter.seat.follow(() => {
    seen.push(arbiter.seat.current)
    isTelling.push(arbiter.seat.isTelling)
  })
  arbiter.open('beta', { ports: [51830], tell: () => undefined })
  assert.equal([seen, isTelling], [[undefined], [true]])
  const org = testOrganization('acme')
  const device = org.device('laptop')
  const state = org.state(org.issuerCertificate(), org.manifest(), org.certificate(device))
  assert.ok(granted(arbiter.seat.share(state, device.id, NOON)).includes('100.64.0.0/10'))
  // Whoever follows hears of the answer, too, once.
  assert.is(seen.length, 2)
  arbiter.seat.share(state, device.id, NOON)
  assert.is(seen.length, 2)
  arbiter.close('beta')
  assert.equal([arbiter.seat.current, arbiter.seat.isTelling], [undefined, false])
  assert.is(arbiter.seat.share(state, device.id, NOON), undefined)
  // And again: it is asked anew.
  arbiter.open('beta', { ports: [51830], tell: () => undefined })
  assert.is(arbiter.wantsOf(FIRST), undefined)
  assert.ok(granted(arbiter.seat.share(state, device.id, NOON)).includes('100.64.0.0/10'))
  assert.is(arbiter.wantsOf(FIRST)?.name, 'acme')
  await arbiter.settled()
})

rule(
  'tells each only what has changed for it, and all of it to one that was started again',
  async () => {
    await using folder = await tempDir()
    const { arbiter, told } = await scene(folder)
    arbiter.open('beta', { ports: [51830], tell: (share) => void told.push(share) })
    arbiter.said(FIRST, acme())
    for (let time = 0; time < 5; time++) arbiter.said('beta', beta())
    for (let time = 0; time < 5; time++) arbiter.said(FIRST, acme())
    assert.is(told.length, 1)
    arbiter.said(FIRST, acme(LAN))
    assert.is(told.length, 2)
    arbiter.restarted('beta')
    arbiter.said('beta', beta())
    assert.is(told.length, 3)
    await arbiter.settled()
  },
)

rule('forgets on disk, too, what was of one that is removed', async () => {
  await using folder = await tempDir()
  const file = join(folder.path, 'held.json')
  const { arbiter } = await scene(folder)
  arbiter.open('beta', { ports: [51830], tell: () => undefined })
  arbiter.said(FIRST, acme())
  arbiter.said('beta', beta(LAN))
  await arbiter.settled()
  assert.match(await readFile(file, 'utf8'), /"beta"/)
  arbiter.close('beta')
  await arbiter.settled()
  assert.is(await readFile(file, 'utf8'), '[]')
})

rule('says in the log what it refuses, once', async () => {
  await using folder = await tempDir()
  const { arbiter, logged } = await scene(folder)
  arbiter.said(FIRST, acme())
  arbiter.open('beta', { ports: [51830], tell: () => undefined })
  for (let time = 0; time < 3; time++) {
    arbiter.said('beta', beta({ kind: 'prefix', value: parsePrefix('100.64.0.7/32') }))
    arbiter.said(FIRST, acme())
  }
  assert.equal(logged, [
    'warn organization.refused {"organization":"beta","kind":"prefix","value":"100.64.0.7/32","over":"100.64.0.0/10","heldBy":"first"}',
  ])
  await arbiter.settled()
})

rule('remembers who had a thing first, whoever speaks first after a restart', async () => {
  await using folder = await tempDir()
  const before = await scene(folder)
  before.arbiter.said(FIRST, acme())
  before.arbiter.open('beta', { ports: [51830], tell: () => undefined })
  before.arbiter.said('beta', beta(LAN))
  await before.arbiter.settled()
  const { arbiter } = await scene(folder, ['beta'])
  arbiter.said(FIRST, acme(LAN))
  assert.equal(granted(arbiter.seat.current), ['100.64.0.0/10'])
  arbiter.open('beta', { ports: [51830], tell: () => undefined })
  arbiter.said('beta', beta(LAN))
  assert.equal(granted(arbiter.shareOf('beta')), ['10.77.0.0/16', LAN.value])
  arbiter.close('beta')
  assert.is(arbiter.seat.current, undefined)
  await arbiter.settled()
})

rule('lets the others go on where nothing is known of the first', async () => {
  await using folder = await tempDir()
  const before = await scene(folder)
  before.arbiter.open('beta', { ports: [51830], tell: () => undefined })
  before.arbiter.said(FIRST, acme(LAN))
  before.arbiter.said('beta', beta())
  await before.arbiter.settled()
  const { arbiter } = await scene(folder, ['beta'])
  arbiter.said(FIRST, undefined)
  arbiter.said('beta', beta(LAN))
  assert.equal(granted(arbiter.shareOf('beta')), ['10.77.0.0/16'])
  await arbiter.settled()
})

rule('forgets what it can’t read, and says so', async () => {
  await using folder = await tempDir()
  await writeFile(join(folder.path, 'held.json'), '[{"label":"beta","kind":"exit","value":""}]')
  const { arbiter, logged } = await scene(folder, ['beta'])
  assert.match(logged.join(), /warn organization\.memory-unreadable .*held\.json/)
  arbiter.said(FIRST, acme())
  await arbiter.settled()
  assert.match(await readFile(join(folder.path, 'held.json'), 'utf8'), /"range".*100\.64\.0\.0\/10/)
})

rule('has no say where tunnels end inside their processes', async () => {
  await using folder = await tempDir()
  const { arbiter, told } = await scene(folder, ['beta'], false)
  arbiter.open('beta', { ports: [51830], tell: (share) => void told.push(share) })
  arbiter.said('beta', wants('b', '100.64.0.0/10'))
  assert.equal([arbiter.seat.current, arbiter.shareOf('beta'), told], [undefined, undefined, []])
  assert.is(arbiter.wantsOf('beta')?.name, 'b')
})

rule.run()
