// time limit: 300 s
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { clientOf, newApplicant } from '../../support/applicant.ts'
import { type Person, person } from '../../support/nexctl-scene.ts'
import { startTestRegistry, temporaryDirectory } from '../../support/registry.ts'

const rule = suite('nexctl member, invitation, user, policy and names')

const BOB = 'bob@example.org'

const registry = await startTestRegistry()
rule.after(async () => registry[Symbol.asyncDispose]())
const browser = await registry.ada()
const ada = await person(browser, registry, 'ada')
const bob = await person(await registry.bob(browser), registry, 'ada')

/** Ada owns, Bob becomes a member. */
async function bobJoins(): Promise<void> {
  const { link } = await ada.json('invitation', 'create')
  await bob.text('invitation', 'accept', String(link))
}
await bobJoins()

async function enrol(by: Person, name: string): Promise<void> {
  const { key } = await by.json('registration-key', 'create', '--description', name)
  await clientOf(registry).enrol(newApplicant(name), { registrationKey: String(key) })
}

const POLICY = `version: 1
default: {inbound: deny, outbound: accept}
`
const BROKEN_TEST = `${POLICY}tests:
  - desk -> desk:22 tcp: accept
`

rule('puts a policy file in force once its tests hold, and gives every one back', async () => {
  await enrol(ada, 'desk')
  const path = await temporaryDirectory()
  const file = async (name: string, text: string) => {
    await writeFile(join(path, name), text)
    return join(path, name)
  }
  const good = await file('good.yaml', POLICY)
  const wrong = await file('wrong.yaml', 'version: 1\ndefault: {inbound: maybe}\n')
  const tested = await file('tested.yaml', BROKEN_TEST)
  assert.match(await ada.refused('policy', 'dry-run', wrong), 'it has mistakes')
  assert.match(await ada.refused('policy', 'apply', wrong), 'the registry refused')
  assert.match(await ada.refused('policy', 'apply', '/nowhere'), 'cannot read /nowhere: ENOENT')
  assert.match(await ada.text('policy', 'history'), 'none')
  const asked = ['policy', 'dry-run', good, '--question', 'desk -> desk:22 tcp']
  assert.match(await ada.text(...asked), /^0 rules; 0 of 0 tests hold\nIPv4: /)
  assert.match(await ada.text('policy', 'apply', good), 'revision 1 is in force')
  assert.match(await ada.text('policy', 'apply', good), 'revision 1 is that policy already')
  assert.match(await bob.refused('policy', 'apply', tested), 'the registry refused')
  const more = await file('more.yaml', `${POLICY}# second\n`)
  assert.match(
    await ada.refused('policy', 'apply', more, '--revision', '0'),
    'the registry refused',
  )
  assert.match(await ada.text('policy', 'apply', more, '--revision', '1'), 'revision 2 is in force')
  const exported = join(path, 'exported.yaml')
  assert.match(await bob.text('policy', 'export', exported), 'revision 2 written')
  assert.is(await readFile(exported, 'utf8'), `${POLICY}# second\n`)
  await bob.refused('policy', 'export', exported)
  assert.is(await bob.text('policy', 'export', '-'), `${POLICY}# second\n`)
  assert.equal(
    (await ada.list('policy', 'history')).map(({ revision, by }) => [revision, by]),
    [
      [2, 'ada@example.org'],
      [1, 'ada@example.org'],
    ],
  )
})

rule('keeps names: records and forwards, one by one or by a file', async () => {
  const names = (...argv: string[]) => ada.json('organization', 'names', ...argv)
  assert.match(await ada.text('organization', 'names', 'show'), 'none')
  await names('record', 'add', 'printer', '192.168.7.9')
  await names('record', 'add', 'print', 'printer', '--kind', 'alias')
  const set = await names('forward', 'set', 'corp.example', '10.0.0.53:53')
  assert.equal(set, {
    records: [
      { kind: 'address', name: 'printer', value: '192.168.7.9' },
      { kind: 'alias', name: 'print', value: 'printer' },
    ],
    forwards: [{ domain: 'corp.example', resolvers: ['10.0.0.53:53'] }],
  })
  assert.match(
    await bob.text('organization', 'names', 'show'),
    /^NAME +KIND +VALUE\nprinter +address +192\.168\.7\.9\n.*\ncorp\.example +forward +10\.0\.0\.53:53/,
  )
  for (const [why, ...argv] of [
    ['registry refused', 'record', 'add', 'printer', 'no address'],
    ['registry refused', 'record', 'add', 'print', '192.168.7.8'],
    ['there is no record "tv"', 'record', 'remove', 'tv'],
    ['there is no record "printer"', 'record', 'remove', 'printer', '192.168.7.1'],
    ['there is no forward "other"', 'forward', 'remove', 'other'],
    ['cannot read /nowhere', 'apply', '/nowhere'],
  ] as const) {
    assert.match(await ada.refused('organization', 'names', ...argv), why)
  }
  assert.match(
    await bob.refused('organization', 'names', 'forward', 'remove', 'corp.example'),
    'refused',
  )
  const file = join(await temporaryDirectory(), 'names.yaml')
  await writeFile(file, 'records: [{kind: address, name: tv}]\n')
  assert.match(await ada.refused('organization', 'names', 'apply', file), 'records.0.value')
  await writeFile(file, '{')
  assert.match(await ada.refused('organization', 'names', 'apply', file), 'it is no YAML')
  assert.equal(await names('show'), set)
  await writeFile(file, await ada.text('--output', 'yaml', 'organization', 'names', 'show'))
  await names('record', 'remove', 'print')
  await names('record', 'remove', 'printer', '192.168.7.9')
  assert.equal(await names('forward', 'remove', 'corp.example'), { records: [], forwards: [] })
  assert.equal(await names('apply', file), set)
})

rule('lists, revokes, declines and accepts invitations by whom they are for', async () => {
  const labs = await ada.json('organization', 'create', 'Labs')
  const asked = ['--organization', 'Labs', 'invitation']
  const byLink = await bob.json('organization', 'create', 'Bobs')
  assert.is(byLink['name'], 'Bobs')
  const own = ['--organization', 'Bobs', 'invitation']
  const toAda = await bob.json(...own, 'create', '--email', 'ada@example.org', '--role', 'admin')
  assert.is(toAda['link'], undefined)
  const received = await ada.list('invitation', 'received')
  assert.equal(
    received.map(({ id, organizationName, role }) => [id, organizationName, role]),
    [[toAda['id'], 'Bobs', 'admin']],
  )
  assert.match(await bob.text('invitation', 'received'), 'none')
  assert.match(await bob.refused('invitation', 'decline', String(toAda['id'])), 'was received')
  assert.match(await ada.text('invitation', 'decline', 'Bobs'), 'declined')
  assert.match(await ada.text('invitation', 'received'), 'none')
  assert.match(await ada.refused('invitation', 'accept', 'Bobs'), 'the registry refused')
  const again = await bob.json(...own, 'create', '--email', 'ada@example.org')
  assert.match(await bob.text(...own, 'list'), /ada@example\.org +member +bob@example\.org/)
  const joined = await ada.json('invitation', 'accept', 'Bobs')
  assert.is(joined['organization'], byLink['id'])
  assert.is(again['link'], undefined)
  const waiting = await ada.json(...asked, 'create')
  assert.match(await bob.refused('--organization', 'ada', 'invitation', 'list'), 'refused')
  assert.match(await ada.refused(...asked, 'revoke', 'other'), 'nothing is called "other"')
  assert.match(await ada.text(...asked, 'revoke', String(waiting['id'])), 'revoked')
  assert.match(await ada.text(...asked, 'list'), 'none')
  const late = await bob.refused('invitation', 'accept', String(waiting['link']))
  assert.match(late, 'the registry refused')
  assert.is(typeof labs['id'], 'string')
  await bob.text('--organization', 'Bobs', 'organization', 'delete')
})

rule('changes and removes members; their devices stay, go, or are revoked', async () => {
  const roles = async () =>
    Object.fromEntries((await ada.list('member', 'list')).map(({ name, role }) => [name, role]))
  assert.match(await bob.refused('member', 'change', BOB, '--role', 'owner'), 'refused')
  assert.match(await ada.refused('member', 'change', BOB, '--role', 'king'), 'role')
  assert.match(
    await ada.refused('member', 'remove', 'ada@example.org'),
    /the registry refused: .*owner/,
  )
  assert.equal(await roles(), { 'ada@example.org': 'owner', [BOB]: 'member' })
  assert.match(await ada.text('member', 'change', BOB, '--role', 'admin'), `${BOB} is admin`)
  assert.is((await roles())[BOB], 'admin')
  await enrol(bob, 'pad')
  await ada.refused('member', 'remove', BOB, '--devices', 'transfer')
  const to = ['--devices', 'transfer', '--transfer-to', 'ada@example.org']
  assert.match(await ada.text('member', 'remove', BOB, ...to), 'no member any more')
  assert.is((await ada.json('device', 'show', 'pad'))['owner'], 'ada@example.org')
  assert.match(await bob.refused('device', 'list'), 'no organization "ada"')
  await bobJoins()
  await enrol(bob, 'phone')
  await ada.text('member', 'remove', BOB, '--devices', 'revoke')
  assert.equal((await ada.list('device', 'list')).map(({ name }) => name).toSorted(), [
    'desk',
    'pad',
  ])
})

rule('deletes the user that confirms by name, and no other', async () => {
  await bobJoins()
  await enrol(bob, 'tablet')
  assert.match(await bob.refused('user', 'delete'), '--confirm')
  assert.match(await bob.refused('user', 'delete', '--confirm', 'ada@example.org'), 'not your name')
  assert.is((await bob.json('whoami'))['name'], BOB)
  const actions = (await bob.list('user', 'audit')).map(({ action }) => action)
  assert.equal(actions, ['token.created'])
  const gone = ['user', 'delete', '--confirm', BOB, '--devices', 'transfer']
  assert.match(await bob.text(...gone), `${BOB} is deleted`)
  await bob.refused('whoami')
  assert.is((await ada.json('device', 'show', 'tablet'))['owner'], 'ada@example.org')
  assert.equal(
    (await ada.list('member', 'list')).map(({ name }) => name),
    ['ada@example.org'],
  )
})

rule.run()
