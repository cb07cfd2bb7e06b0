// time limit: 240 s
/** Defects of the Go implementation that must not come here, each named after what it prevents. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { memberOf } from '../../../protocol/belief.ts'
import { type DeviceId, parseOrganizationId } from '../../../protocol/keys.ts'
import { loginByHttp } from '../../../simulations/lab/login.ts'
import type { Json } from '../../support/api.ts'
import { clientOf, newApplicant } from '../../support/applicant.ts'
import { ask, enrolled, scene } from '../../support/people-scene.ts'
import { ADA, startTestRegistry } from '../../support/registry.ts'
import { startPeer, until } from '../../support/rendezvous-peer.ts'

const rule = suite('defects that must not come')

rule('prevents: any signed-in user removes any user from any organization (defect 2)', async () => {
  await using registry = await startTestRegistry()
  const { ada, carol, home, ids } = await scene(registry)
  for (const user of Object.values(ids)) {
    assert.is((await ask(carol, 'DELETE', `${home}/members/${user}`)).status, 404)
  }
  assert.is(((await ask(ada, 'GET', `${home}/members`)).json['members'] as Json[]).length, 2)
})

rule(
  'prevents: groups of a registration key count only after the second registration (defect 7)',
  async () => {
    await using registry = await startTestRegistry()
    const { ada, home } = await scene(registry)
    assert.equal((await enrolled(registry, ada, home, 'x', { groups: ['db'] })).device['groups'], [
      'db',
    ])
  },
)

rule(
  'prevents: a change of prefixes drops those kept and keeps those dropped (defect 9)',
  async () => {
    await using registry = await startTestRegistry()
    const { ada, home } = await scene(registry)
    const { id } = await enrolled(registry, ada, home, 'x')
    const set = (...prefixes: string[]) => ask(ada, 'PATCH', `${home}/devices/${id}`, { prefixes })
    await set('10.1.0.0/16', '10.2.0.0/16')
    assert.equal((await set('10.2.0.0/16', '10.3.0.0/16')).json['prefixes'], [
      '10.2.0.0/16',
      '10.3.0.0/16',
    ])
  },
)

rule(
  'prevents: a lifetime that the command line sends is none to the API, and expiry is not enforced (defects 18, 19)',
  async () => {
    await using registry = await startTestRegistry()
    const { ada, carol, home } = await scene(registry)
    const made = await ask(ada, 'POST', `${home}/invitations`, { role: 'member', lifetime: 300 })
    assert.is(Number(made.json['expiresAt']) - registry.clock.now() > 290, true)
    const key = await ask(ada, 'POST', `${home}/registration-keys`, {
      description: 'x',
      lifetime: 300,
    })
    registry.clock.advance(301)
    const secret = String(made.json['link']).split('/').at(-1)
    const late = await ask(carol, 'POST', 'invitation-links', { secret })
    assert.equal([late.status, late.json['code']], [410, 'invitation-over'])
    const registrationKey = String(key.json['key'])
    const refused = await clientOf(registry)
      .enrol(newApplicant('y'), { registrationKey })
      .catch((e: Error) => e)
    assert.match((refused as Error).message, 'expired on')
  },
)

rule(
  'prevents: a second acceptance fails with 500, a deletion answers 500 (defects 19, 20)',
  async () => {
    await using registry = await startTestRegistry()
    const { ada, bob, home, secret } = await scene(registry)
    assert.is((await ask(bob, 'POST', 'invitation-links', { secret })).status, 200)
    assert.is((await ask(ada, 'DELETE', home)).status, 204)
    assert.is((await ask(ada, 'GET', home)).status, 404)
  },
)

rule(
  'prevents: fields that are empty because the other is given are refused (defect 21b)',
  async () => {
    await using registry = await startTestRegistry()
    const { ada, home } = await scene(registry)
    for (const wanted of [{ role: 'member' }, { role: 'member', email: 'dan@example.org' }]) {
      assert.is((await ask(ada, 'POST', `${home}/invitations`, wanted)).status, 201)
    }
    const empty = await ask(ada, 'POST', `${home}/invitations`, { role: 'member', email: '' })
    assert.equal([empty.status, empty.json['field']], [400, 'email'])
    const { id } = await enrolled(registry, ada, home, 'x', { groups: ['a'] })
    assert.equal(
      (await ask(ada, 'PATCH', `${home}/devices/${id}`, { groups: [] })).json['groups'],
      [],
    )
  },
)

rule(
  'prevents: text of a query gets into the store’s (defect 22), and a redirect leads elsewhere (defect 23)',
  async () => {
    await using registry = await startTestRegistry()
    const { ada, home } = await scene(registry)
    for (const query of [
      'sort=name;drop',
      'cursor=..%2f..%2f',
      'cursor=%00',
      'limit=-1',
      'limit=1e9',
    ]) {
      assert.is((await ask(ada, 'GET', `${home}/devices?${query}`)).status, 400, query)
    }
    for (const returnTo of [
      'https://evil.example',
      '//evil.example',
      '/\\evil.example',
      'javascript:1',
    ]) {
      const response = await ada.fetch(`/login?returnTo=${encodeURIComponent(returnTo)}`)
      const location = new URL(response.headers.get('location') ?? '', registry.url)
      assert.is(location.origin, registry.url, returnTo)
    }
  },
)

rule(
  'prevents: addresses of a removed member’s devices stay taken, and nobody hears (defect 25)',
  async () => {
    await using registry = await startTestRegistry()
    const { ada, bob, home, ids } = await scene(registry)
    const organization = parseOrganizationId(home.split('/')[1] ?? '')
    const key = { singleUse: false, lifetime: 7 * 86_400 }
    const { applicant, id, device } = await enrolled(registry, bob, home, 'bobs')
    const other = await enrolled(registry, ada, home, 'adas', key)
    const { envelopes, rendezvous } = await clientOf(registry).renew(other.applicant, organization)
    await using peer = await startPeer(other.applicant.deviceKey, organization, envelopes)
    await peer.sync(await peer.join(rendezvous.multiaddrs[0] ?? ''))
    const isMember = () =>
      memberOf(peer.state(), id as DeviceId, registry.clock.now()) !== undefined
    assert.ok(isMember())
    const gone = await ask(ada, 'DELETE', `${home}/members/${ids.bob}?devices=revoke`)
    assert.is(gone.status, 204)
    await until('ada’s device hears that it is out', () => !isMember(), 60_000)
    const left = (await ask(ada, 'GET', `${home}/devices`)).json['devices'] as Json[]
    assert.equal(
      left.map((each) => each['name']),
      ['adas'],
    )
    const refused = await clientOf(registry)
      .renew(applicant, home.split('/')[1] as never)
      .catch((e: Error) => e)
    assert.match((refused as Error).message, 'was removed')
    // Free once nobody can hold a certificate with it any more.
    registry.clock.advance(2 * 86_400)
    const [requestedAddress = ''] = device['addresses'] as string[]
    const heir = { ...newApplicant('heir'), requestedAddress }
    await clientOf(registry).enrol(heir, { registrationKey: other.secret })
    const later = await loginByHttp(registry.url, ADA)
    const now = (await ask(later, 'GET', `${home}/devices`)).json['devices'] as Json[]
    const { addresses } = now.find((each) => each['name'] === 'heir') ?? {}
    assert.equal(addresses, device['addresses'])
  },
)

rule(
  'prevents: a device is stranded when the registration key that let it in has expired (defect 26)',
  async () => {
    await using registry = await startTestRegistry()
    const { ada, home } = await scene(registry)
    const { applicant } = await enrolled(registry, ada, home, 'x', { lifetime: 60 })
    registry.clock.advance(3 * 86_400)
    const renewed = await clientOf(registry).renew(applicant, home.split('/')[1] as never)
    assert.ok(renewed.envelopes.length > 0)
  },
)

rule.run()
