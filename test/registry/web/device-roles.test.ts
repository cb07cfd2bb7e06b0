// time limit: 240 s
/** Roles and owner of a device, changed on its page. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Browser } from '../../../simulations/lab/login.ts'
import type { Json } from '../../support/api.ts'
import { ask, enrolled, scene } from '../../support/people-scene.ts'
import { ADA, BOB, startTestRegistry, type TestRegistry } from '../../support/registry.ts'

const rule = suite('page of a device: roles and owner')

interface Scene {
  readonly registry: TestRegistry
  readonly ada: Browser
  /** A member, and no admin. */
  readonly bob: Browser
  /** Bob's user. */
  readonly bobs: string
  /** Of Ada's device. */
  readonly path: string
  device(): Promise<Json>
  /** The form as the browser would send it: several boxes are the same key again. */
  send(by: Browser, form: string, body: string): Promise<number>
}

const test = (name: string, body: (scene: Scene) => Promise<void>) =>
  rule(name, async () => {
    await using registry = await startTestRegistry()
    const { ada, bob, home, ids } = await scene(registry)
    const { id } = await enrolled(registry, ada, home, 'laptop')
    const path = `/${home}/devices/${id}`
    const send = async (by: Browser, form: string, text: string) => {
      const headers = { 'content-type': 'application/x-www-form-urlencoded', origin: by.baseUrl }
      return (await by.fetch(`${path}/${form}`, { method: 'POST', headers, body: text })).status
    }
    const device = async () => (await ask(ada, 'GET', path.slice(1))).json
    await body({ registry, ada, bob, bobs: ids.bob, path, device, send })
  })

test('an admin gives and takes roles, one, several and all', async ({
  ada,
  path,
  device,
  send,
}) => {
  for (const [form, roles] of [
    ['roles=relay', ['relay']],
    ['roles=relay&roles=exit-node&roles=relay', ['relay', 'exit-node']],
    ['roles=router', ['router']],
    ['', []],
  ] as const) {
    assert.is(await send(ada, 'roles', form), 303, form)
    assert.equal((await device())['roles'], roles)
    const { text } = await ada.open(path)
    const checked = [...text.matchAll(/name="roles" value="([\w-]+)" checked/g)].map(
      ([, role]) => role,
    )
    assert.equal(checked.toSorted(), roles.toSorted())
  }
})

test('an admin makes a member its owner, who may then change it', async ({
  ada,
  bob,
  bobs,
  path,
  device,
  send,
}) => {
  const { text } = await ada.open(path)
  const users = [...text.matchAll(/<option value="([a-z2-7]+)"( selected)?>([^<]+)</g)]
  assert.equal(
    users.map(([, , selected, name]) => [name, selected !== undefined]),
    [
      [ADA.email, true],
      [BOB.email, false],
    ],
  )
  assert.is(users[1]?.[1], bobs)
  assert.is(await send(bob, 'name', 'name=mine'), 403)
  assert.is(await send(ada, 'owner', `owner=${bobs}`), 303)
  const { owner, ownerId } = await device()
  // Nobody vouches for the address that he signed up with.
  assert.equal([owner, ownerId], [`bob (${bobs})`, bobs])
  assert.is(await send(bob, 'name', 'name=mine'), 303)
})

test('nobody else: no member, not even its owner, and no stranger', async ({
  ada,
  bob,
  bobs,
  path,
  device,
  send,
}) => {
  const before = await device()
  for (const [form, body] of [
    ['roles', 'roles=relay'],
    ['owner', `owner=${bobs}`],
  ] as const) {
    assert.is(await send(bob, form, body), 403, form)
    const url = `${bob.baseUrl}${path}/${form}`
    const headers = { 'content-type': 'application/x-www-form-urlencoded', origin: bob.baseUrl }
    const stranger = await fetch(url, { method: 'POST', headers, body, redirect: 'manual' })
    assert.is(stranger.status, 401, form)
    const foreign = { ...headers, origin: 'https://evil.example' }
    assert.is(
      (await ada.fetch(`${path}/${form}`, { method: 'POST', headers: foreign, body })).status,
      403,
    )
  }
  assert.equal(await device(), before)
  await send(ada, 'owner', `owner=${bobs}`)
  assert.is(await send(bob, 'roles', 'roles=exit-node'), 403)
  const { text } = await bob.open(path)
  assert.match(text, 'Rename')
  assert.not.match(text, 'Save roles')
  assert.not.match(text, 'Change owner')
})

test('what is no role or no member is told on the page, and changes nothing', async ({
  registry,
  ada,
  path,
  device,
  send,
}) => {
  const before = await device()
  assert.is(await send(ada, 'roles', 'roles=admin'), 422)
  assert.is(await send(ada, 'roles', 'roles=relay&roles=root'), 422)
  for (const owner of ['', 'nobody', 'a'.repeat(26), '__proto__', '../x', 'x'.repeat(65)]) {
    const page = await ada.submit(`${path}/owner`, { owner })
    assert.is(page.status, 422, owner)
    assert.match(page.text, 'role="alert"')
    assert.is(page.url.href, `${registry.url}${path}/owner`)
  }
  assert.equal(await device(), before)
})

rule.run()
