/** The further organizations of an agent, with processes that do nothing. */
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { OrganizationChange } from '../../../agent/control/organization-report.ts'
import { organizationsText } from '../../../agent/nexctl-organizations.ts'
import { openArbiter } from '../../../agent/organizations/arbiter.ts'
import { type Kept, readKeptList } from '../../../agent/organizations/kept-list.ts'
import { Organizations } from '../../../agent/organizations/organizations.ts'
import { systemClock as clock } from '../../../agent/system-clock.ts'
import { type TempDir, tempDir } from '../../support/temp-dir.ts'

const [ACME, BETA] = [`${'a'.repeat(25)}a`, `${'b'.repeat(25)}a`]
const REGISTRY = 'https://registry.example/'
const STAYS =
  "process.on('SIGTERM', () => process.exit(0)); process.send({ kind: 'running' }); setInterval(() => {}, 1000)"

interface Scene extends AsyncDisposable {
  readonly organizations: Organizations
  readonly logged: readonly string[]
  kept(): Promise<readonly string[]>
  /** The error's text, or the answer's folder. */
  tried(change: OrganizationChange): Promise<string>
}

async function scene(folder: TempDir, kept: readonly Kept[] = []): Promise<Scene> {
  const logged: string[] = []
  const log = (...[level, event, fields]: readonly unknown[]): void =>
    void logged.push(`${level} ${event} ${JSON.stringify(fields)}`)
  const ports: readonly number[] = [65_500]
  const others = kept.map(({ label }) => label)
  const file = join(folder.path, 'held.json')
  const keptFile = join(folder.path, 'organizations.json')
  const organizations = new Organizations({
    place: { stateDir: folder.path, interfaceName: 'nx0', listenPort: 65_500, meshListen: [] },
    arbiter: await openArbiter({ ...{ file, ports, others, log }, isHostShared: true }),
    ...{ keptFile, kept, clock, log },
    launch: () => ({
      command: [process.execPath, '-e', STAYS],
      env: { PATH: process.env['PATH'] ?? '' },
    }),
    first: () => ({
      organization: { id: ACME, name: 'acme' },
      ...({ registry: REGISTRY, state: 'running', addresses: [], interface: 'nx0' } as const),
      socket: join(folder.path, 'nexd.sock'),
    }),
    stop: new AbortController().signal,
  })
  return {
    organizations,
    logged,
    kept: async () => (await readKeptList(keptFile)).map(({ label }) => label),
    tried: (change) =>
      organizations.change(change).then(
        (done) => done.folder,
        (error: Error) => error.message,
      ),
    [Symbol.asyncDispose]: () => organizations[Symbol.asyncDispose](),
  }
}

/** Keys that an organization left, which was removed. */
async function left(folder: TempDir, label: string, organization: string): Promise<string> {
  const at = join(folder.path, 'organizations', label)
  await mkdir(at, { recursive: true })
  await writeFile(join(at, 'join.json'), JSON.stringify({ registry: REGISTRY, organization }))
  return at
}

const kept = (label: string, slot: number): Kept => ({
  ...{ label, slot, registry: `${REGISTRY}#${BETA}`, allowPublicRoutes: false },
})
const add = (registry: string, label: string) => ({ action: 'add', registry, label }) as const
const remove = (label: string, forget: boolean) => ({ action: 'remove', label, forget }) as const

const rule = suite('the further organizations of an agent')

rule('start though one of them has no place', async () => {
  await using folder = await tempDir()
  await using made = await scene(folder, [kept('far', 7), kept('near', 1)])
  const { organizations, logged } = made
  const listed = organizations.list()
  assert.equal(
    listed.map(({ label, state }) => `${label} ${state}`),
    ['first running', 'near starting', 'far failed'],
  )
  assert.match(listed[2]?.reason ?? '', /^port 65570 of the organization is beyond 65534/)
  assert.match(logged.join(), /error organization\.failed .*"far"/)
  assert.match(organizationsText(listed), /far: port 65570/)
  // It is kept, and its slot and label with it, until it is removed.
  assert.match(await made.tried(add(REGISTRY, 'far')), /label "far" is taken/)
  assert.match(await made.tried(remove('near', false)), /organizations\/near$/)
  assert.equal(await made.kept(), ['far'])
  assert.match(await made.tried(remove('far', false)), /organizations\/far$/)
  assert.equal(await made.kept(), [])
})

rule('are not joined by keys that are another’s', async () => {
  await using folder = await tempDir()
  await using made = await scene(folder)
  const at = await left(folder, 'work', BETA)
  for (const wanted of [`${REGISTRY}#${'c'.repeat(25)}a`, 'https://other.example'])
    assert.is(
      await made.tried(add(wanted, 'work')),
      `${at} has keys of organization ${BETA} at ${REGISTRY} (choose another --label, or have them deleted: nexctl organization remove work --forget)`,
    )
  assert.not.ok(existsSync(join(folder.path, 'organizations.json')))
  assert.is(await made.tried(add(`https://moved.example#${BETA}`, 'work')), at)
  await left(folder, 'again', ACME)
  assert.match(await made.tried(add(REGISTRY, 'again')), /is in acme already, as "first"/)
  const bad = await left(folder, 'bad', 'x')
  assert.match(await made.tried(add(REGISTRY, 'bad')), new RegExp(`^${bad} can't be used: `))
})

rule('that were removed can be forgotten still, and nothing beside them', async () => {
  await using folder = await tempDir()
  await using made = await scene(folder)
  const at = await left(folder, 'work', BETA)
  assert.match(await made.tried(remove('work', false)), /in no organization "work"/)
  assert.is(await made.tried(remove('work', true)), at)
  assert.not.ok(existsSync(at))
  const file = join(folder.path, 'kept')
  await writeFile(file, 'x')
  for (const label of ['work', '../kept', '..', 'first', ''])
    assert.match(await made.tried(remove(label, true)), /in no organization|nexd up itself/)
  assert.is(await readFile(file, 'utf8'), 'x')
})

rule(
  'are kept with the operator’s leave to carry addresses of the internet, or without',
  async () => {
    await using folder = await tempDir()
    await using made = await scene(folder)
    await made.tried({ ...add('https://a.example', 'a'), allowPublicRoutes: true })
    await made.tried(add('https://b.example', 'b'))
    const list = await readKeptList(join(folder.path, 'organizations.json'))
    assert.equal(
      list.map(({ allowPublicRoutes }) => allowPublicRoutes),
      [true, false],
    )
  },
)

rule('are shown without what moves a cursor', () => {
  const name = 'evil\u001b[2J'
  const text = organizationsText([
    {
      ...{ label: 'evil', registry: REGISTRY, addresses: [], interface: 'nx0-1', socket: '/s' },
      ...({ organization: { id: BETA, name }, state: 'failed', reason: `\r${name}` } as const),
      ...{ refused: [`10.0.0.0/8 overlaps it of ${name}`], isRefused: false },
    },
  ])
  assert.not.match(text.replaceAll('\n', ''), /\p{Cc}/u)
  assert.match(text, /evil\?\[2J/)
})

rule.run()
