// time limit: 300 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parsePrefix } from '../../../protocol/address.ts'
import { clientOf, newApplicant } from '../../support/applicant.ts'
import { person } from '../../support/nexctl-scene.ts'
import { startTestRegistry } from '../../support/registry.ts'

const rule = suite('nexctl device, registration-key and join-request')

const ASKS = {
  prefixes: ['10.7.0.0/16', '10.8.0.0/16'].map(parsePrefix),
  roles: ['router' as const, 'exit-node' as const],
}

const registry = await startTestRegistry()
rule.after(async () => registry[Symbol.asyncDispose]())
const browser = await registry.ada()
const ada = await person(browser, registry)
const bobs = await registry.bob(browser)
const bob = await person(bobs, registry, 'ada')

async function enrol(name: string, more: object = {}) {
  const { key } = await ada.json('registration-key', 'create', '--description', name)
  await clientOf(registry).enrol(
    { ...newApplicant(name), ...more },
    { registrationKey: String(key) },
  )
}

rule('grants and denies what a device asks for: what is named, or all of it', async () => {
  assert.match(await ada.text('device', 'request', 'list'), 'none')
  await enrol('laptop', { asks: ASKS })
  await enrol('phone')
  const asking = await ada.list('device', 'request', 'list')
  assert.equal(
    asking.map(({ name, prefixes, roles }) => ({ name, prefixes, roles })),
    [{ name: 'laptop', ...ASKS }],
  )
  const table = await ada.text('device', 'request', 'list')
  assert.match(table, /laptop +ada@example\.org +10\.7\.0\.0\/16 10\.8\.0\.0\/16 +router exit-node/)
  const strange = ['device', 'request', 'grant', 'laptop', '--prefix', '10.9.0.0/16']
  assert.match(
    await ada.refused(...strange),
    'laptop does not ask for "10.9.0.0/16" (it asks for 10.7.0.0/16 10.8.0.0/16 router exit-node)',
  )
  assert.match(await ada.refused('device', 'request', 'grant', 'phone'), 'it asks for nothing')
  const some = ['--prefix', '10.7.0.0/16', '--role', 'router']
  assert.match(
    await ada.text('device', 'request', 'grant', 'laptop', ...some),
    'laptop is granted 10.7.0.0/16 router',
  )
  const denied = await ada.json('device', 'request', 'deny', 'laptop')
  assert.equal(denied['prefixes'], ['10.7.0.0/16'])
  assert.equal((denied['roles'] as string[]).includes('exit-node'), false)
  assert.equal(denied['requests'], { prefixes: [], roles: [] })
  assert.match(await ada.refused('device', 'request', 'grant', 'laptop'), 'it asks for nothing')
})

rule('sets, changes and removes metadata, and leaves other keys alone', async () => {
  await enrol('desk')
  assert.match(await ada.text('device', 'metadata', 'show', 'desk'), 'none')
  await ada.text('device', 'metadata', 'set', 'desk', 'rack=a=1', 'room=blue')
  const changed = await ada.json('device', 'metadata', 'set', 'desk', 'room=')
  assert.equal(changed, { rack: 'a=1', room: '' })
  for (const wrong of ['room', '=x', '-bad-=x']) {
    await ada.refused('device', 'metadata', 'set', 'desk', 'rack=b', '--', wrong)
  }
  await ada.refused('device', 'metadata', 'set', 'desk', `rack=${'x'.repeat(1025)}`)
  assert.equal(await ada.json('device', 'metadata', 'show', 'desk'), changed)
  assert.equal(await ada.json('device', 'metadata', 'remove', 'desk', 'room', 'none'), {
    rack: 'a=1',
  })
})

rule('gives a device to another member, and to nobody else', async () => {
  await enrol('tablet')
  const give = ['device', 'update', 'tablet', '--owner', 'bob@example.org']
  assert.match(await ada.refused(...give), 'nothing is called "bob@example.org"')
  const { link } = await ada.json('invitation', 'create')
  await bob.text('invitation', 'accept', String(link))
  // Nobody vouches for the address that he signed up with.
  const shown = /^bob \([0-9a-z]{26}\)$/
  assert.match(String((await ada.json(...give))['owner']), shown)
  const back = ['device', 'update', 'tablet', '--owner', 'ada@example.org']
  assert.match(await bob.refused(...back), 'the registry refused')
  assert.match(String((await ada.json('device', 'show', 'tablet'))['owner']), shown)
})

rule('shows a registration key, and describes it anew', async () => {
  const { id, key } = await ada.json('registration-key', 'create', '--description', 'rack')
  assert.is((await ada.json('registration-key', 'describe', 'rack', 'rack 7'))['id'], id)
  const shown = await ada.text('registration-key', 'show', 'rack 7')
  assert.match(shown, /description +rack 7/)
  assert.not.ok(shown.includes(String(key)))
  assert.match(await ada.refused('registration-key', 'show', 'rack'), 'nothing is called "rack"')
  await ada.refused('registration-key', 'describe', 'rack 7', '')
  await ada.refused('registration-key', 'describe', 'rack 7', 'a\u001b[2J')
  assert.is((await ada.json('registration-key', 'show', String(id)))['description'], 'rack 7')
})

rule('lets in or refuses what members bring, where an admin must agree', async () => {
  const home = await ada.json('organization', 'settings', '--approval-required', 'yes')
  assert.is(home['approvalRequired'], true)
  const { id: organization } = await ada.json('organization', 'show')
  assert.match(await ada.text('join-request', 'list'), 'none')
  for (const name of ['pad', 'spy']) {
    const { user_code } = await clientOf(registry).authorize(newApplicant(name))
    await bobs.submit('/device', {
      ...{ user_code, decision: 'approve', organization: String(organization) },
    })
  }
  const waiting = await ada.list('join-request', 'list')
  assert.equal(waiting.map(({ name }) => name).toSorted(), ['pad', 'spy'])
  assert.match(await ada.text('join-request', 'list'), /pad +linux x64 +bob \([0-9a-z]{26}\)/)
  await bob.refused('join-request', 'approve', 'pad')
  assert.match(await ada.refused('join-request', 'approve', 'tv'), 'nothing is called "tv"')
  assert.match(await ada.text('join-request', 'approve', 'pad'), 'pad is let in')
  assert.match(await ada.text('join-request', 'deny', 'spy'), 'spy is refused')
  assert.match(await ada.text('join-request', 'list'), 'none')
  assert.match(await ada.refused('join-request', 'deny', 'pad'), 'nothing is called "pad"')
})

rule.run()
