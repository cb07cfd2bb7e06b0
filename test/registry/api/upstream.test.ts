// time limit: 240 s
/** Scenarios that users of the Go implementation rely on, by the HTTP API; the numbers are those of its list. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RegistryRefusal } from '../../../agent/registry-client.ts'
import { openEnvelope } from '../../../protocol/envelope.ts'
import { deviceIdOf, parseOrganizationId } from '../../../protocol/keys.ts'
import {
  approveDevice,
  type Browser,
  loginByHttp,
  organizationsOf,
} from '../../../simulations/lab/login.ts'
import { type Json, newToken, withSession } from '../../support/api.ts'
import { clientOf, newApplicant } from '../../support/applicant.ts'
import { openEventStream } from '../../support/event-stream.ts'
import { ask, enrolled, scene } from '../../support/people-scene.ts'
import { ADA, startTestRegistry, temporaryDirectory } from '../../support/registry.ts'

const rule = suite('scenarios by the API')

rule(
  'an administrator signs in and lists organizations (1); first sign-ins at once make one user (31)',
  async () => {
    await using registry = await startTestRegistry()
    const ada = await registry.ada()
    const again = await Promise.all([1, 2, 3].map(() => loginByHttp(registry.url, ADA)))
    const lists = await Promise.all([ada, ...again].map(organizationsOf))
    assert.is(new Set(lists.flat()).size, 1)
  },
)

rule(
  'an address in an organization’s own range is granted when asked for, and kept over a restart (3)',
  async () => {
    const stateDirectory = await temporaryDirectory()
    const registry = await startTestRegistry({ stateDirectory })
    const ada = await registry.ada()
    const ranges = { ipv4Range: '10.44.0.0/16', ipv6Range: 'fd44:1::/64' }
    const made = await ask(ada, 'POST', 'organizations', { name: 'ranges', ...ranges })
    const home = `organizations/${made.json['id']}`
    const key = await ask(ada, 'POST', `${home}/registration-keys`, {
      description: 'x',
      singleUse: false,
    })
    const registrationKey = String(key.json['key'])
    const applicant = { ...newApplicant('wants'), requestedAddress: '10.44.7.7' }
    const devices = async (by: Browser) =>
      ((await ask(by, 'GET', `${home}/devices`)).json['devices'] as Json[]).map((d) => [
        ...[d['name'], d['addresses']],
      ])
    const wanted = [['wants', ['10.44.7.7', 'fd44:1::707']]]
    await clientOf(registry).enrol(applicant, { registrationKey })
    assert.equal(await devices(ada), wanted)
    await registry[Symbol.asyncDispose]()

    // The registry's restart, and then the device's: it renews, or enrols again with the same key.
    await using again = await startTestRegistry({ stateDirectory })
    const adaAgain = await loginByHttp(again.url, ADA)
    assert.equal(await devices(adaAgain), wanted)
    const id = parseOrganizationId(String(made.json['id']))
    const renewed = await clientOf(again).renew(applicant, id)
    assert.equal(addressesIn(renewed.envelopes), ['10.44.7.7/32', 'fd44:1::707/128'])
    await clientOf(again).enrol(applicant, { registrationKey })
    assert.equal(await devices(adaAgain), wanted)
  },
)

rule(
  'a device list has every field; a removed device’s key and name can be used again (8, 32)',
  async () => {
    await using registry = await startTestRegistry()
    const { ada, carol, home } = await scene(registry)
    const one = await enrolled(registry, ada, home, 'laptop', { singleUse: false })
    const { device, id, applicant, secret } = one
    for (const field of [
      'name',
      'owner',
      'ownerId',
      'system',
      'addresses',
      'prefixes',
      'roles',
      'requests',
      'metadata',
      'createdAt',
      'renewedAt',
      'notAfter',
      'online',
      'seenAt',
    ]) {
      assert.is.not(device[field], undefined, field)
    }
    for (const method of ['GET', 'PATCH', 'DELETE']) {
      const body = method === 'PATCH' ? { name: 'mine' } : undefined
      assert.is((await ask(carol, method, `${home}/devices/${id}`, body)).status, 404, method)
    }
    // Upstream's public key is the one of WireGuard: another device cannot have it, until this one is gone.
    const { wireguardKey } = applicant
    const heir = { ...newApplicant('laptop'), wireguardKey }
    const enrolHeir = () => clientOf(registry).enrol(heir, { registrationKey: secret })
    const refused = await enrolHeir().catch((error: unknown) => error)
    assert.instance(refused, RegistryRefusal)
    assert.is((refused as RegistryRefusal).code, 'wireguard-key-taken')
    assert.is((await ask(ada, 'DELETE', `${home}/devices/${id}`)).status, 204)
    await enrolHeir()
    const heirId = deviceIdOf(heir.deviceKey.publicKey)
    const list = (await ask(ada, 'GET', `${home}/devices`)).json['devices'] as Json[]
    assert.equal(
      list.map((each) => [each['id'], each['name']]),
      [[heirId, 'laptop']],
    )
    // The removed device itself comes back, with all its keys, once a person lets it in.
    assert.is((await ask(ada, 'DELETE', `${home}/devices/${heirId}`)).status, 204)
    const client = clientOf(registry)
    const asked = await client.authorize(applicant)
    await approveDevice(ada, asked.verification_uri_complete, home.split('/')[1])
    await client.enrol(applicant, { token: await client.token(asked.device_code) })
    const back = (await ask(ada, 'GET', `${home}/devices/${id}`)).json
    assert.equal([back['id'], back['name']], [id, 'laptop'])
  },
)

function addressesIn(envelopes: readonly Uint8Array[]): readonly string[] | undefined {
  const opened = envelopes.map(openEnvelope)
  const certificate = opened.find((each) => each.kind === 'membership-certificate')
  return certificate?.body.addresses.map(String)
}

rule(
  'a member hears all that there was of devices, metadata and policy, then what happens now (34)',
  async () => {
    await using registry = await startTestRegistry()
    const { ada, bob, carol, home } = await scene(registry)
    const { id } = await enrolled(registry, ada, home, 'laptop')
    await ask(ada, 'PATCH', `${home}/devices/${id}`, { metadata: { a: '1' } })
    await ask(ada, 'PUT', `${home}/policy`, { text: '{version: 1}', revision: 0 })
    const listen = async (by: Browser) => {
      const { token } = await newToken(withSession(by), ['read'])
      return openEventStream(`${registry.url}/v1/${home}/events?after=0`, {
        headers: { authorization: `Bearer ${token}` },
      })
    }
    assert.is((await listen(carol)).status, 404)
    await using stream = await listen(bob)
    /** What it is told, to the first of this action. */
    const heard = async (last: string): Promise<readonly (readonly unknown[])[]> => {
      const { data } = (await stream.next()) ?? {}
      const event = [data?.['action'], data?.['subject']]
      return event[0] === last ? [event] : [event, ...(await heard(last))]
    }
    const initial = await heard('policy.saved')
    const ofDevice = initial.filter(([, subject]) => subject === id)
    assert.equal(ofDevice, [
      ['device.enrolled', id],
      ['device.changed', id],
    ])
    assert.is(initial[0]?.[0], 'organization.founded')
    await ask(ada, 'PATCH', `${home}/devices/${id}`, { metadata: { a: '2' } })
    await ask(ada, 'DELETE', `${home}/devices/${id}`)
    assert.equal(await heard('device.removed'), [
      ['device.changed', id],
      ['device.removed', id],
    ])
  },
)

rule('a registration key is described anew, and the list says so (13)', async () => {
  await using registry = await startTestRegistry()
  const { ada, home } = await scene(registry)
  const { keyId } = await enrolled(registry, ada, home, 'x')
  const path = `${home}/registration-keys/${keyId}`
  assert.is(
    (await ask(ada, 'PATCH', path, { description: 'new words' })).json['description'],
    'new words',
  )
  const list = (await ask(ada, 'GET', `${home}/registration-keys`)).json[
    'registrationKeys'
  ] as Json[]
  assert.equal(
    list.map((each) => each['description']),
    ['new words'],
  )
})

rule(
  'metadata is set, listed and taken away by its owner, and hidden from strangers (33)',
  async () => {
    await using registry = await startTestRegistry()
    const { ada, bob, carol, home } = await scene(registry)
    const { id } = await enrolled(registry, bob, home, 'bobs')
    const path = `${home}/devices/${id}`
    assert.equal(
      (await ask(bob, 'PATCH', path, { metadata: { a: '1', 'b/c': '2' } })).json['metadata'],
      { a: '1', 'b/c': '2' },
    )
    assert.equal((await ask(ada, 'PATCH', path, { metadata: { a: null } })).json['metadata'], {
      'b/c': '2',
    })
    assert.is((await ask(carol, 'PATCH', path, { metadata: { a: 'x' } })).status, 404)
    const ofAda = await enrolled(registry, ada, home, 'adas')
    const foreign = await ask(bob, 'PATCH', `${home}/devices/${ofAda.id}`, { metadata: { a: 'x' } })
    assert.equal([foreign.status, foreign.json['code']], [403, 'role-needed'])
  },
)

rule(
  'only who may invites; strangers neither see, accept nor delete an invitation (35)',
  async () => {
    await using registry = await startTestRegistry()
    const { ada, bob, carol, home } = await scene(registry)
    assert.is((await ask(bob, 'POST', `${home}/invitations`, { role: 'member' })).status, 403)
    assert.is((await ask(carol, 'POST', `${home}/invitations`, { role: 'member' })).status, 404)
    const made = await ask(ada, 'POST', `${home}/invitations`, {
      role: 'member',
      email: 'dan@example.org',
    })
    const id = String(made.json['id'])
    assert.equal((await ask(carol, 'GET', 'invitations')).json, { invitations: [] })
    assert.is((await ask(carol, 'POST', `invitations/${id}/acceptance`)).status, 404)
    assert.is((await ask(carol, 'DELETE', `invitations/${id}`)).status, 404)
    assert.is((await ask(carol, 'DELETE', `${home}/invitations/${id}`)).status, 404)
    assert.is((await ask(ada, 'DELETE', `${home}/invitations/${id}`)).status, 204)
  },
)

rule(
  'a member cannot remove others, nor the last owner themselves; the owner removes a member (36)',
  async () => {
    await using registry = await startTestRegistry()
    const { ada, bob, carol, home, ids } = await scene(registry)
    assert.is((await ask(carol, 'GET', `${home}/members`)).status, 404)
    assert.is((await ask(bob, 'DELETE', `${home}/members/${ids.ada}`)).status, 403)
    assert.equal(
      (await ask(ada, 'DELETE', `${home}/members/${ids.ada}`)).json['code'],
      'last-owner',
    )
    assert.is((await ask(ada, 'DELETE', `${home}/members/${ids.bob}`)).status, 204)
    assert.is((await ask(bob, 'GET', `${home}/devices`)).status, 404)
  },
)

rule('a second organization of one name is refused with 409 (37)', async () => {
  await using registry = await startTestRegistry()
  const { ada } = await scene(registry)
  const again = await ask(ada, 'POST', 'organizations', { name: 'Acme' })
  assert.equal([again.status, again.json['code']], [409, 'organization-name-taken'])
})

rule(
  'a member’s key is seen by the owner and not by strangers; revoked, its device goes on (38)',
  async () => {
    await using registry = await startTestRegistry()
    const { ada, bob, carol, home } = await scene(registry)
    const { keyId, secret, applicant } = await enrolled(registry, bob, home, 'bobs', {
      singleUse: false,
    })
    const path = `${home}/registration-keys/${keyId}`
    assert.is((await ask(ada, 'GET', path)).status, 200)
    assert.is((await ask(carol, 'GET', path)).status, 404)
    assert.is((await ask(bob, 'DELETE', path)).status, 204)
    const refused = await clientOf(registry)
      .enrol(newApplicant('y'), { registrationKey: secret })
      .catch((e: Error) => e)
    assert.match((refused as Error).message, 'revoked')
    await clientOf(registry).renew(applicant, home.split('/')[1] as never)
  },
)

rule(
  'an organization is not deleted while it has devices, nor by who does not own it (39)',
  async () => {
    await using registry = await startTestRegistry()
    const { ada, bob, carol, home } = await scene(registry)
    await enrolled(registry, ada, home, 'x')
    assert.is((await ask(carol, 'DELETE', home)).status, 404)
    assert.is((await ask(bob, 'DELETE', home)).status, 403)
    const refused = await ask(ada, 'DELETE', home)
    assert.equal([refused.status, refused.json['code']], [409, 'organization-not-empty'])
    for (const [field, value] of [
      ['ipv4Range', '10.0.0.1/8'],
      ['ipv4Range', '8.0.0.0/8'],
      ['ipv6Range', '200::/32'],
    ]) {
      const bad = await ask(ada, 'POST', 'organizations', { name: 'x', [String(field)]: value })
      assert.equal([bad.status, bad.json['field']], [400, field])
    }
  },
)

rule.run()
