/** An organization of Ada's with Bob as a member and Carol as a stranger, by the HTTP API. */
import * as assert from 'uvu/assert'
import {
  type Browser,
  completeSetup,
  inviteUser,
  loginByHttp,
} from '../../simulations/lab/login.ts'
import type { Json } from './api.ts'
import { clientOf, newApplicant } from './applicant.ts'
import { ADA, type TestRegistry } from './registry.ts'

export async function ask(browser: Browser, method: string, path: string, body?: unknown) {
  const response = await browser.fetch(`/v1/${path}`, {
    method,
    headers: { 'content-type': 'application/json', origin: browser.baseUrl },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, json: (text === '' ? {} : JSON.parse(text)) as Json }
}

/** Bob joins Ada's organization by a link, Carol stays a stranger. */
export async function scene(registry: TestRegistry) {
  const ada = await registry.ada()
  const bob = await registry.bob(ada)
  const CAROL = { email: 'carol@example.org', password: 'a third good password' }
  await completeSetup(await inviteUser(ada), CAROL)
  const carol = await loginByHttp(registry.url, CAROL)
  const made = await ask(ada, 'POST', 'organizations', { name: 'Acme' })
  const home = `organizations/${made.json['id']}`
  const invited = await ask(ada, 'POST', `${home}/invitations`, { role: 'member' })
  const secret = String(invited.json['link']).split('/').at(-1)
  assert.is((await ask(bob, 'POST', 'invitation-links', { secret })).status, 200)
  const members = (await ask(ada, 'GET', `${home}/members`)).json['members'] as Json[]
  const idOf = (name: string) => String(members.find((each) => each['name'] === name)?.['user'])
  const ids = { ada: idOf(ADA.email), bob: idOf('bob@example.org') }
  return { ada, bob, carol, home, secret, ids }
}

export async function enrolled(
  registry: TestRegistry,
  by: Browser,
  home: string,
  name: string,
  more: object = {},
) {
  const key = await ask(by, 'POST', `${home}/registration-keys`, { description: name, ...more })
  assert.is(key.status, 201, JSON.stringify(key.json))
  const applicant = newApplicant(name)
  const secret = String(key.json['key'])
  await clientOf(registry).enrol(applicant, { registrationKey: secret })
  const devices = (await ask(by, 'GET', `${home}/devices`)).json['devices'] as Json[]
  const device = devices.find((each) => each['name'] === name) ?? {}
  return { applicant, secret, keyId: String(key.json['id']), device, id: String(device['id']) }
}
