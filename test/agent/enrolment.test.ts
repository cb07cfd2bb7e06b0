import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type EnrolmentOptions, enrol } from '../../agent/enrolment.ts'
import { OperatorError } from '../../agent/errors.ts'
import { type Applicant, RegistryClient, RegistryRefusal } from '../../agent/registry-client.ts'
import { parseRegistryReference } from '../../agent/registry-reference.ts'
import { systemClock } from '../../agent/system-clock.ts'
import { generateAgreementKeyPair } from '../../crypto/agreement.ts'
import { randomBytes } from '../../crypto/random.ts'
import { generateSigningKeyPair } from '../../crypto/signing.ts'
import { parsePrefix } from '../../protocol/address.ts'
import type { Clock } from '../../protocol/clock.ts'
import { seconds } from '../../protocol/time.ts'
import { approveDevice, type Browser, organizationsOf } from '../../simulations/lab/login.ts'
import { startTestRegistry } from '../support/registry.ts'

const rule = suite('enrolment against a real registry')
const registry = await startTestRegistry()
const ada: Browser = await registry.ada()
const [organization = ''] = await organizationsOf(ada)

const applicant = (name: string): Applicant => ({
  deviceKey: generateSigningKeyPair<'device'>(),
  wireguardKey: generateAgreementKeyPair(),
  name,
  system: 'Test Linux',
})
const client = (url = registry.url): RegistryClient =>
  new RegistryClient(url, () => systemClock.now(), randomBytes)
const options = (change: Partial<EnrolmentOptions> = {}): EnrolmentOptions => ({
  registry: registry.url,
  organization: undefined,
  registrationKey: undefined,
  announce: () => {},
  // Polls are fast in tests; the registry is asked as it asks to be.
  clock: systemClock,
  ...change,
})

async function registrationKey(): Promise<string> {
  const response = await ada.fetch(`/v1/organizations/${organization}/registration-keys`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: registry.url },
    body: JSON.stringify({ description: 'test' }),
  })
  const made: unknown = await response.json()
  assert.is(response.status, 201)
  return made !== null && typeof made === 'object' && 'key' in made ? String(made.key) : ''
}

async function refusal(work: Promise<unknown>): Promise<Error> {
  try {
    await work
  } catch (error) {
    if (error instanceof Error) return error
  }
  return assert.unreachable('was not refused') as never
}

rule('gives a device that a person approves a certificate it can verify', async () => {
  let shown = ''
  const enrolled = enrol(
    client(),
    applicant('laptop'),
    options({
      announce: (code, link) => {
        shown = code
        void approveDevice(ada, link)
      },
    }),
  )
  const { join, envelopes } = await enrolled
  assert.match(shown, /^[A-Z]{4}-[A-Z]{4}$/)
  assert.is(join.organization, organization)
  assert.is(join.name, 'laptop')
  assert.equal(envelopes.map(({ kind }) => kind).toSorted(), [
    'issuer-certificate',
    'manifest',
    'membership-certificate',
  ])
})

/** Of the first enrolment the request or the answer is lost. */
class LossyClient extends RegistryClient {
  readonly #lost: 'request' | 'answer'
  #attempts = 0

  constructor(lost: 'request' | 'answer') {
    super(registry.url, () => systemClock.now(), randomBytes)
    this.#lost = lost
  }

  override async enrol(...asked: Parameters<RegistryClient['enrol']>) {
    this.#attempts += 1
    if (this.#attempts > 1) return super.enrol(...asked)
    if (this.#lost === 'answer') await super.enrol(...asked)
    throw new OperatorError('ERR_REGISTRY', 'cannot reach the registry')
  }
}

for (const lost of ['request', 'answer'] as const) {
  rule(`enrols a device that a person approved, though the ${lost} is lost`, async () => {
    const announce = (_code: string, link: string) => void approveDevice(ada, link)
    const pinned = parseRegistryReference(`${registry.url}#${organization}`).organization
    const name = `lost-${lost}`
    const { join } = await enrol(
      new LossyClient(lost),
      applicant(name),
      options({ announce, organization: pinned }),
    )
    assert.is(join.name, name)
  })
}

rule('waits for a person no longer than it may', async () => {
  const stop = new AbortController()
  const announce = (): void => void setImmediate(() => stop.abort())
  const stopped = enrol(client(), applicant('waiting'), options({ announce, stop: stop.signal }))
  assert.is((await refusal(stopped)).name, 'AbortError')
})

rule('enrols by a registration key, once', async () => {
  const key = await registrationKey()
  const { join } = await enrol(client(), applicant('server'), options({ registrationKey: key }))
  assert.is(join.organization, organization)
  const again = await refusal(
    enrol(client(), applicant('server-2'), options({ registrationKey: key })),
  )
  assert.instance(again, OperatorError)
  assert.match(again.message, /enrolment refused/)
})

rule('pins the organization that the reference names', async () => {
  const other = `${'b'.repeat(25)}a`
  const wanted = parseRegistryReference(`${registry.url}#${other}`)
  const error = await refusal(
    enrol(
      client(),
      applicant('pinned'),
      options({ organization: wanted.organization, registrationKey: await registrationKey() }),
    ),
  )
  assert.match(error.message, new RegExp(`answered for organization ${organization}, not ${other}`))
})

rule('names the clock when what was issued is not valid yet here', async () => {
  const early: Clock = { ...systemClock, now: () => seconds(systemClock.now() - 3600) }
  const key = await registrationKey()
  const error = await refusal(
    enrol(client(), applicant('early'), options({ registrationKey: key, clock: early })),
  )
  assert.match(error.message, /is this device's clock right\? it says 20/)
})

rule('is refused by the registry, in words, where the clock makes the proof stale', async () => {
  const years = new RegistryClient(
    registry.url,
    () => seconds(systemClock.now() - 10 * 365 * 86_400),
    randomBytes,
  )
  const error = await refusal(
    enrol(years, applicant('old'), options({ registrationKey: await registrationKey() })),
  )
  assert.match(error.message, /clock/i)
})

rule('says what to check when the registry is not there, or is something else', async () => {
  const gone = await refusal(client('http://127.0.0.1:1/').info())
  assert.match(
    gone.message,
    /cannot reach the registry at http:\/\/127\.0\.0\.1:1\/: .*\(check --registry and the network\)/,
  )
  const page = await refusal(client(`${registry.url}/healthz/`).info())
  assert.ok(page instanceof OperatorError || page instanceof RegistryRefusal)
})

rule('refuses a reference that is no URL, or names no organization id', () => {
  assert.throws(() => parseRegistryReference('registry.example'), /is not a URL/)
  assert.throws(() => parseRegistryReference('ftp://registry.example'), /want https/)
  assert.throws(
    () => parseRegistryReference('https://registry.example#short'),
    /organization id "short"/,
  )
})

rule('renews by proof of the device key alone, and not once the device was removed', async () => {
  const by = applicant('renewing')
  const { join } = await enrol(client(), by, options({ registrationKey: await registrationKey() }))
  const renewed = await client().renew(by, join.organization)
  assert.ok(renewed.envelopes.length > 0)
  const response = await ada.fetch(`/v1/organizations/${organization}/devices`)
  const list = (await response.json()) as { devices: { id: string; name: string }[] }
  const device = list.devices.find(({ name }) => name === 'renewing')
  const removed = await ada.fetch(`/v1/organizations/${organization}/devices/${device?.id}`, {
    method: 'DELETE',
    headers: { origin: registry.url },
  })
  assert.is(removed.status, 204)
  const error = await refusal(client().renew(by, join.organization))
  assert.instance(error, RegistryRefusal)
})

rule('asks for an address, prefixes and roles; the address is had at once', async () => {
  const asks = { prefixes: [parsePrefix('10.7.0.0/16')], roles: ['exit-node' as const] }
  const by = { ...applicant('asking'), asks, requestedAddress: '100.64.77.7' }
  const { join } = await enrol(client(), by, options({ registrationKey: await registrationKey() }))
  assert.equal(await deviceNamed('asking'), {
    addresses: '100.64.77.7',
    prefixes: [],
    requests: { prefixes: ['10.7.0.0/16'], roles: ['exit-node'] },
  })
  await client().renew({ ...by, asks: { prefixes: [], roles: [] } }, join.organization)
  assert.equal((await deviceNamed('asking')).requests, { prefixes: [], roles: [] })
  const taken = { ...applicant('late'), requestedAddress: '100.64.77.7' }
  const key = await registrationKey()
  const error = await refusal(enrol(client(), taken, options({ registrationKey: key })))
  assert.match(error.message, 'address 100.64.77.7/32 belongs to another device')
})

async function deviceNamed(name: string) {
  const response = await ada.fetch(`/v1/organizations/${organization}/devices`)
  const { devices } = (await response.json()) as { devices: Record<string, unknown>[] }
  const device = devices.find((each) => each['name'] === name) ?? {}
  const [addresses] = device['addresses'] as string[]
  return { addresses, prefixes: device['prefixes'], requests: device['requests'] }
}

rule('waits for an admin where a member approved it and the organization wants that', async () => {
  const send = (browser: Browser, method: string, path: string, body: object) =>
    browser.fetch(`/v1/${path}`, {
      method,
      headers: { 'content-type': 'application/json', origin: registry.url },
      body: JSON.stringify(body),
    })
  const home = `organizations/${organization}`
  await send(ada, 'PATCH', home, { approvalRequired: true })
  const { link } = (await (
    await send(ada, 'POST', `${home}/invitations`, { role: 'member' })
  ).json()) as {
    link: string
  }
  const bob = await registry.bob(ada)
  await send(bob, 'POST', 'invitation-links', { secret: link.split('/').at(-1) })
  // An admin's half minute is shortened, the registry's pace is kept.
  const clock: Clock = {
    ...systemClock,
    sleep: (ms, stop) => systemClock.sleep(Math.min(ms, 2100), stop),
  }
  let waits = 0
  const enrolled = enrol(
    client(),
    applicant('of-bob'),
    options({
      clock,
      announce: (code) =>
        void bob.submit('/device', { user_code: code, organization, decision: 'approve' }),
      waiting: () => void waits++,
    }),
  )
  const requests = async () => {
    const response = await ada.fetch(`/v1/${home}/join-requests`)
    return ((await response.json()) as { joinRequests: { id: string; name: string }[] })
      .joinRequests
  }
  while (waits === 0) await systemClock.sleep(200)
  const [request] = await requests()
  assert.is(request?.name, 'of-bob')
  await send(ada, 'POST', `${home}/join-requests/${request?.id}`, { approved: true })
  assert.is((await enrolled).join.name, 'of-bob')
  assert.is(waits, 1)
})

rule.after(async () => {
  await registry[Symbol.asyncDispose]()
})
rule.run()
