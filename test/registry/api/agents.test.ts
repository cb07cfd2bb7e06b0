// time limit: 240 s
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { toBase64 } from '../../../crypto/bytes.ts'
import { memberOf } from '../../../protocol/belief.ts'
import { openEnvelope } from '../../../protocol/envelope.ts'
import { deviceIdOf, parseOrganizationId } from '../../../protocol/keys.ts'
import { apply, emptyState } from '../../../protocol/state.ts'
import { approveDevice, organizationsOf } from '../../../simulations/lab/login.ts'
import { clientOf, newApplicant } from '../../support/applicant.ts'
import { startTestRegistry, type TestRegistry } from '../../support/registry.ts'

const rule = suite('API of agents')

const post = (registry: TestRegistry, path: string, body: unknown) =>
  fetch(`${registry.url}/v1/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })

async function registrationKey(registry: TestRegistry) {
  const ada = await registry.ada()
  const [organization = ''] = await organizationsOf(ada)
  const response = await ada.fetch(`/v1/organizations/${organization}/registration-keys`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: registry.url },
    body: JSON.stringify({ description: 'lab', singleUse: false }),
  })
  const { key } = (await response.json()) as { key: string }
  return { ada, organization, key }
}

rule('says what it is and where devices meet', async () => {
  await using registry = await startTestRegistry()
  const info = (await (await fetch(`${registry.url}/v1/info`)).json()) as Record<string, unknown>
  const { multiaddrs, stun } = info['rendezvous'] as { multiaddrs: string[]; stun: string[] }
  assert.is(info['product'], 'nexodus')
  assert.is(info['publicUrl'], registry.url)
  assert.match(multiaddrs[0] ?? '', /^\/ip4\/127\.0\.0\.1\/tcp\/\d+\/p2p\/12D3/)
  assert.match(stun[0] ?? '', /^127\.0\.0\.1:\d+$/)
})

rule('a device asks, a person approves, the device enrols and knows its rendezvous', async () => {
  await using registry = await startTestRegistry()
  const ada = await registry.ada()
  const [organization = ''] = await organizationsOf(ada)
  const client = clientOf(registry)
  const laptop = newApplicant('laptop')
  const asked = await client.authorize(laptop)
  assert.is(asked.verification_uri, `${registry.url}/device`)
  await approveDevice(ada, asked.verification_uri_complete)
  const issued = await client.enrol(laptop, { token: await client.token(asked.device_code) })
  assert.is(issued.organization, organization)
  let state = emptyState(parseOrganizationId(organization))
  const now = registry.clock.now()
  for (const bytes of issued.envelopes) state = apply(state, openEnvelope(bytes), now).state
  const member = memberOf(state, deviceIdOf(laptop.deviceKey.publicKey), now)
  assert.is(member?.certificate.owner, 'ada@example.org')
  const [manifest] = state.manifests.values()
  assert.equal(manifest?.body.rendezvous, [issued.rendezvous])
  const renewed = await client.renew(laptop, parseOrganizationId(organization))
  assert.is(renewed.envelopes.length, 3)
})

rule('a registration key enrols without a person', async () => {
  await using registry = await startTestRegistry()
  const { key, organization } = await registrationKey(registry)
  assert.match(key, /^nrk_[a-z2-7]{32}$/)
  const issued = await clientOf(registry).enrol(newApplicant('server'), { registrationKey: key })
  assert.is(issued.organization, organization)
})

rule('the token endpoint speaks OAuth: forms and JSON in, error codes out', async () => {
  await using registry = await startTestRegistry()
  const asked = await clientOf(registry).authorize(newApplicant('laptop'))
  const grant = {
    grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
    device_code: asked.device_code,
    client_id: 'any',
  }
  const form = await fetch(`${registry.url}/v1/token`, {
    method: 'POST',
    body: new URLSearchParams(grant),
  })
  assert.is(form.status, 400)
  assert.is(((await form.json()) as { error: string }).error, 'authorization_pending')
  const cases: [unknown, string][] = [
    [grant, 'slow_down'],
    [{ ...grant, device_code: 'nothing' }, 'invalid_grant'],
    [{ ...grant, grant_type: 'password' }, 'invalid_request'],
    [{}, 'invalid_request'],
  ]
  for (const [body, error] of cases) {
    const response = await post(registry, 'token', body)
    assert.is(response.status, 400)
    assert.is(((await response.json()) as { error: string }).error, error)
  }
})

rule('every refusal is problem+json with a code, and the field where one is at fault', async () => {
  await using registry = await startTestRegistry()
  const { key } = await registrationKey(registry)
  const laptop = newApplicant('laptop')
  const good = {
    deviceKey: toBase64(laptop.deviceKey.publicKey),
    wireguardKey: toBase64(laptop.wireguardKey.publicKey),
    name: 'laptop',
    system: 'linux',
    registrationKey: key,
    proof: 'x',
  }
  const cases: [string, unknown, number, string, string | undefined][] = [
    ['enrolments', '{', 400, 'bad-request', undefined],
    ['enrolments', {}, 400, 'invalid-input', 'deviceKey'],
    ['enrolments', { ...good, further: 1 }, 400, 'invalid-input', undefined],
    ['enrolments', { ...good, token: 'and' }, 400, 'invalid-input', undefined],
    ['enrolments', { ...good, system: 'a\u001b[31m' }, 400, 'invalid-input', 'system'],
    ['enrolments', { ...good, deviceKey: 'short' }, 400, 'invalid-input', 'deviceKey'],
    ['enrolments', good, 400, 'proof-invalid', 'proof'],
    ['enrolments', 'x'.repeat(40_000), 413, 'too-large', undefined],
    [
      'device-authorizations',
      { ...good, registrationKey: undefined },
      400,
      'proof-invalid',
      'proof',
    ],
    ['renewals', { request: '' }, 400, 'invalid-input', 'request'],
    ['renewals', { request: 'AAAA' }, 400, 'proof-invalid', 'request'],
    ['nothing', {}, 404, 'not-found', undefined],
  ]
  for (const [path, body, status, code, field] of cases) {
    const response = await post(registry, path, body)
    const problem = (await response.json()) as Record<string, unknown>
    const seen = [response.status, problem['code'], problem['field']]
    assert.equal(seen, [status, code, field], JSON.stringify(problem))
    assert.match(response.headers.get('content-type') ?? '', 'application/problem+json')
    assert.ok(problem['title'] && problem['type'] && problem['detail'])
    assert.is(problem['status'], status)
  }
})

rule('whatever is sent, the answer is a refusal and never a fault', async () => {
  await using registry = await startTestRegistry()
  const text = fc.oneof(fc.string(), fc.base64String({ minLength: 44, maxLength: 44 }))
  const value = fc.oneof(text, fc.integer(), fc.constant(null), fc.array(text), fc.object())
  const fields = 'deviceKey wireguardKey name system proof token registrationKey request'.split(' ')
  const body = fc.oneof(
    fc.dictionary(fc.constantFrom(...fields, 'grant_type', 'device_code'), value),
    fc.anything(),
  )
  const path = fc.constantFrom('enrolments', 'renewals', 'device-authorizations', 'token')
  await fc.assert(
    fc.asyncProperty(path, body, async (where, sent) => {
      const response = await post(registry, where, JSON.stringify(sent) ?? '')
      await response.body?.cancel()
      assert.ok(response.status >= 400 && response.status < 500, String(response.status))
    }),
    { numRuns: 100 },
  )
})

rule('keys that are named must be the keys that are proved', async () => {
  await using registry = await startTestRegistry()
  const laptop = newApplicant('laptop')
  const other = newApplicant('other')
  const client = clientOf(registry)
  const mixed = {
    ...laptop,
    deviceKey: { ...laptop.deviceKey, publicKey: other.deviceKey.publicKey },
  }
  const refused = await client.authorize(mixed).catch((error: unknown) => error as { code: string })
  assert.is((refused as { code: string }).code, 'proof-invalid')
})

rule('is alive and ready', async () => {
  await using registry = await startTestRegistry()
  for (const path of ['healthz', 'readyz']) {
    assert.is((await fetch(`${registry.url}/${path}`)).status, 200)
  }
})

rule('many devices at one address may ask, but not without end', async () => {
  await using registry = await startTestRegistry()
  const statuses = new Map<number, number>()
  for (let round = 0; round < 13; round++) {
    const round50 = Array.from({ length: 50 }, () =>
      post(registry, 'token', { grant_type: 'x' }).then(async (response) => {
        await response.body?.cancel()
        statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1)
      }),
    )
    await Promise.all(round50)
  }
  assert.equal(statuses.get(400), 600)
  assert.equal(statuses.get(429), 50)
})

rule.run()
