// time limit: 300 s
/** Several registries on one etcd cluster: they serve one set of organizations, users and devices. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { randomBytes } from '../../crypto/random.ts'
import { currentManifest, memberOf } from '../../protocol/belief.ts'
import { openEnvelope } from '../../protocol/envelope.ts'
import { deviceIdOf, parseOrganizationId } from '../../protocol/keys.ts'
import { apply, emptyState } from '../../protocol/state.ts'
import { makeKeyEncryptionKey } from '../../registry/key-encryption-key.ts'
import { systemClock } from '../../registry/system-clock.ts'
import {
  completeSetup,
  inviteUser,
  loginByHttp,
  messageOf,
  openBrowser,
  organizationsOf,
} from '../../simulations/lab/login.ts'
import { clientOf, newApplicant } from '../support/applicant.ts'
import { startEtcd } from '../support/etcd.ts'
import { needs } from '../support/needs.ts'
import { ADA, BOB, startTestRegistry, temporaryDirectory } from '../support/registry.ts'
import { startPeer, until } from '../support/rendezvous-peer.ts'
import { startRegistries } from '../support/several-registries.ts'

needs('etcd')

const rule = suite('several registries')
const cluster = await startEtcd(1)
const here = await startRegistries(cluster, 'several', 2)
const organization = parseOrganizationId(here.organization)
const [first, second] = here.registries as [typeof here.first, typeof here.first]

function believed(envelopes: readonly Uint8Array[]) {
  return envelopes.reduce(
    (state, bytes) => apply(state, openEnvelope(bytes), systemClock.now()).state,
    emptyState(organization),
  )
}

rule('know one set of users and sessions', async () => {
  assert.equal(await organizationsOf(here.adaAt(second)), [here.organization])
  const atSecond = await loginByHttp(second.url, ADA)
  assert.equal(await organizationsOf(atSecond), [here.organization])
  await atSecond.submit('/logout', {})
  const cookie = here.adaAt(first)
  assert.equal(await organizationsOf(cookie), [here.organization])
})

rule('end a session everywhere at once', async () => {
  const ada = await loginByHttp(first.url, ADA)
  const elsewhere = here.adaAt(second)
  elsewhere.plant('nexodus-session', ada.cookie('nexodus-session') ?? '')
  assert.equal(await organizationsOf(elsewhere), [here.organization])
  await ada.submit('/logout', {})
  assert.equal(await organizationsOf(elsewhere), [])
})

rule(
  'share the secrets of a sign-in under way: it begins at one and is known at the other',
  async () => {
    const browser = openBrowser(first.url)
    const form = await browser.open('/login')
    assert.match(form.url.pathname, /^\/login\//)
    // The same cookies at the other registry, as a balancer would send them there.
    const other = openBrowser(second.url)
    for (const name of ['_interaction', '_interaction.sig', '_interaction_resume']) {
      const value = browser.cookie(name)
      if (value !== undefined) other.plant(name, value)
    }
    const page = await other.open(form.url.pathname)
    assert.is(page.status, 200, messageOf(page))
    assert.match(page.text, /type="password"/)
  },
)

rule('each sign for one organization: enrolled at one, renewed at the other', async () => {
  const key = await here.registrationKey(second)
  const laptop = newApplicant('laptop')
  const enrolled = await clientOf(first).enrol(laptop, { registrationKey: key })
  assert.is(enrolled.organization, here.organization)
  const renewed = await clientOf(second).renew(laptop, organization)
  const state = believed(renewed.envelopes)
  const id = deviceIdOf(laptop.deviceKey.publicKey)
  assert.is(memberOf(state, id, systemClock.now())?.certificate.name, 'laptop')
})

rule('tell agents of each other', async () => {
  const info = (await (await fetch(`${first.url}/v1/info`)).json()) as { registries: string[] }
  assert.equal(info.registries, [first.url, second.url])
  const key = await here.registrationKey()
  const answer = await clientOf(second).enrol(newApplicant('phone'), { registrationKey: key })
  assert.equal(answer.registries, [second.url, first.url])
  const manifest = currentManifest(believed(answer.envelopes), systemClock.now())
  const meetings = manifest?.body.rendezvous.map(({ multiaddrs: [address] }) => address)
  assert.is(meetings?.length, 2)
  assert.is(new Set(meetings).size, 2)
})

rule('bring what one signed into gossip at the other', async () => {
  const key = await here.registrationKey()
  const [laptop, phone] = [newApplicant('watching'), newApplicant('leaving')]
  const { envelopes, rendezvous } = await clientOf(second).enrol(laptop, { registrationKey: key })
  await using peer = await startPeer(laptop.deviceKey, organization, envelopes)
  await peer.sync(await peer.join(rendezvous.multiaddrs[0] ?? ''))
  await clientOf(first).enrol(phone, { registrationKey: key })
  const id = deviceIdOf(phone.deviceKey.publicKey)
  await until('the new member', () => memberOf(peer.state(), id, systemClock.now()) !== undefined)
  const before = currentManifest(peer.state(), systemClock.now())?.body.sequence ?? 0
  const removed = await here.ada.fetch(`/v1/organizations/${here.organization}/devices/${id}`, {
    method: 'DELETE',
    headers: { origin: first.url },
  })
  assert.ok(removed.ok, String(removed.status))
  await until('the removal', () => memberOf(peer.state(), id, systemClock.now()) === undefined)
  const after = currentManifest(peer.state(), systemClock.now())?.body.sequence
  assert.is(after, before + 1)
})

rule('bring an organization that is founded at one to the other', async () => {
  await completeSetup(await inviteUser(here.ada), BOB)
  const bob = await loginByHttp(first.url, BOB)
  const [bobs = ''] = await organizationsOf(bob)
  const made = await bob.fetch(`/v1/organizations/${bobs}/registration-keys`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: first.url },
    body: JSON.stringify({ description: 'bob' }),
  })
  const { key } = (await made.json()) as { key: string }
  const tablet = newApplicant('tablet')
  const answer = await clientOf(second).enrol(tablet, { registrationKey: key })
  assert.is(answer.organization, bobs)
  await using peer = await startPeer(tablet.deviceKey, parseOrganizationId(bobs), answer.envelopes)
  await peer.join(answer.rendezvous.multiaddrs[0] ?? '')
})

rule('refuse one whose key-encryption key is another, or missing', async () => {
  const { store } = first.config
  if (store === undefined) throw new Error('no store')
  const none = await startTestRegistry({ store }).catch((e: unknown) => e)
  assert.match(String(none), '--store etcd://… needs --key-encryption-key-file')
  const keyEncryptionKeyFile = `${await temporaryDirectory()}/other.key`
  await makeKeyEncryptionKey(keyEncryptionKeyFile, randomBytes)
  const other = await startTestRegistry({ store, keyEncryptionKeyFile }).catch((e: unknown) => e)
  assert.match(String(other), 'sealed with another key')
})

rule.after(async () => {
  await here[Symbol.asyncDispose]()
  await cluster[Symbol.asyncDispose]()
})
rule.run()
