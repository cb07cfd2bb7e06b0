// time limit: 600 s
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import { peerIdOf } from '../../agent/mesh/device-peer.ts'
import { systemClock } from '../../agent/system-clock.ts'
import { fromBase64, fromHex, toBase64 } from '../../crypto/bytes.ts'
import { readKeyFile } from '../../crypto/key-file.ts'
import { signingKeyPairFromSeed } from '../../crypto/signing.ts'
import { openEnvelope, sealEnvelope } from '../../protocol/envelope.ts'
import { deviceIdOf, parseDeviceId } from '../../protocol/keys.ts'
import { encodeMembershipCertificate } from '../../protocol/membership-certificate.ts'
import { seconds } from '../../protocol/time.ts'
import { openKeyStore } from '../../registry/key-store.ts'
import type { LabAgent } from '../../simulations/lab/agent.ts'
import { keepPinging, ping, untilAnswered } from '../../simulations/lab/ping.ts'
import { startScene, until } from '../../simulations/lab/scene.ts'
import { startVisitor } from '../../simulations/lab/visitor.ts'
import { needs } from '../support/needs.ts'
import { startAttacker } from './attacker-process.ts'
import { BROKEN, type Identity, SPEECHES } from './errands.ts'

needs('root', 'netns', 'nft', 'wireguard-go', 'iptables', 'ping')

const rule = suite('strangers and a hostile member')
const scene = await startScene({
  sites: [{ kind: 'public' }, { kind: 'public' }, { kind: 'public' }, { kind: 'public' }],
  registrySite: 3,
  agents: { hub: { site: 1 }, laptop: { site: 2 } },
  enrol: 'key',
})
const [hub, laptop] = [scene.agent('hub'), scene.agent('laptop')]
const members = [hub, laptop]
const attacker = startAttacker(scene.lab.host(4).namespace)

const ENROLLED = z.object({
  seed: z.string(),
  organization: z.string(),
  envelopes: z.array(z.string()),
  rendezvous: z.array(z.string()),
  peer: z.string(),
})
const KEY = z.object({ seed: z.string(), peer: z.string() })
const key = await scene.registrationKey()
const enrolled = async (name: string, by = key) =>
  ENROLLED.parse(await attacker.ask({ kind: 'enrol', registry: scene.registryUrl, key: by, name }))
const drawn = async () => KEY.parse(await attacker.ask({ kind: 'key' }))

// Who the strangers are.
const revoked = await enrolled('gone')
await scene.removeDevice('gone')
const bob = startVisitor(scene.lab.core)
const credentials = { email: 'bob@example.org', password: 'entirely different words' }
const link = z.string().parse(await scene.person.ask({ kind: 'invite' }))
await bob.ask({ kind: 'set-up', url: link, ...credentials })
await bob.ask({ kind: 'sign-in', url: scene.registryUrl, ...credentials })
const [other = ''] = z.array(z.string()).parse(await bob.ask({ kind: 'organizations' }))
const made = await bob.ask({
  kind: 'call',
  method: 'POST',
  path: `/v1/organizations/${other}/registration-keys`,
  body: { description: 'lab', singleUse: false },
})
const foreign = await enrolled('foreign', z.object({ key: z.string() }).parse(made).key)
const mallory = await enrolled('mallory')
const vouching = mallory.envelopes.filter(
  (each) => openEnvelope(fromBase64(each)).kind !== 'membership-certificate',
)
const expired = await withExpiredCertificate()
const nobody = await drawn()
const addressOf = async (agent: LabAgent): Promise<string> => {
  const peer = peerIdOf(parseDeviceId((await agent.status()).deviceId))
  return `/ip4/${agent.host.address}/tcp/51822/p2p/${peer.toString()}`
}
const targets = [await addressOf(hub), await addressOf(laptop), ...mallory.rendezvous.slice(0, 1)]

/** What the registry would have signed a day ago. */
async function withExpiredCertificate() {
  const drawnKey = await drawn()
  const store = await openKeyStore(join(scene.lab.folder, 'registry.state'))
  const own = openEnvelope(fromBase64(mallory.envelopes.at(-1) ?? ''))
  if (own.kind !== 'membership-certificate') throw new Error('no certificate')
  const seed = await readKeyFile(store.issuerPath(own.organization), 32)
  if (seed === undefined) throw new Error('no issuer key')
  const current = signingKeyPairFromSeed<'issuer'>(seed)
  const { publicKey } = signingKeyPairFromSeed<'device'>(fromHex(drawnKey.seed))
  const now = systemClock.now()
  const claims = encodeMembershipCertificate(
    {
      ...own.body,
      deviceKey: publicKey,
      name: 'old',
      notBefore: seconds(now - 90_000),
      notAfter: seconds(now - 10),
    },
    fromHex('0011223344556677'),
  )
  const certificate = sealEnvelope('membership-certificate', own.organization, claims, current)
  assert.is(deviceIdOf(publicKey).length, 52)
  return { ...drawnKey, envelopes: [...vouching, toBase64(certificate)] }
}

/** Of a member's two addresses either will do, whichever is faster. */
const siteOf = (endpoint: string | undefined): string | undefined =>
  endpoint?.replace(/^(?:198\.18\.(\d)\.2|\[2001:db8:(\d)::2\]):51820$/, 'site $1$2')
/** All that a member believes; what time and traffic change is left out. */
const beliefOf = async (agent: LabAgent) => {
  const { mesh, registry, peers, natMapping, ...status } = await agent.status()
  const believed = (await agent.peers()).map(
    ({ name, deviceId, addresses, allowedIps, path, endpoint }) => ({
      ...{ name, deviceId, addresses, allowedIps },
      ...(name === 'mallory' ? {} : { path, endpoint: siteOf(endpoint) }),
    }),
  )
  return { status, peers: believed, routes: await agent.routes() }
}
const beliefs = () => Promise.all(members.map(beliefOf))
/** What it says of the devices, but whether and when it hears of each. */
const DEVICES = z.object({
  devices: z.array(
    z.record(z.string(), z.unknown()).transform(({ online, seenAt, ...device }) => device),
  ),
})
const registryBelief = async () => DEVICES.parse(await scene.call('GET', 'devices')).devices
/** Lines of a log about a peer. */
const linesAbout = (file: string, peer: string): readonly string[] =>
  readFileSync(join(scene.lab.folder, file), 'utf8')
    .split('\n')
    .filter((line) => line.includes(peer))
const LOGS = ['hub.log', 'laptop.log', 'registry.log']
const answered = async (): Promise<void> => {
  const { received, sent } = await ping(laptop.host.namespace, (await hub.addresses())[0] ?? '', {
    count: 10,
    waitMs: 1000,
  })
  assert.is(received, sent)
}
const residentMegabytes = ({ process }: LabAgent): number => {
  const status = readFileSync(`/proc/${process.child.pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024
}

const folder = scene.lab.folder
const hubAddress = (await hub.addresses())[0] ?? ''
await untilAnswered(laptop.host.namespace, hubAddress)
const pinging = keepPinging(laptop.host.namespace, hubAddress, { folder, intervalMs: 5000 })
await until('both direct', 60_000, async () =>
  (await Promise.all([hub.peer('laptop'), laptop.peer('hub')])).every(
    (it) => it?.path === 'direct',
  ),
)

const { organization } = scene
const strangers: Readonly<Record<string, Identity & { readonly peer: string }>> = {
  'no certificate': { ...nobody, organization, envelopes: vouching },
  'an expired certificate': { ...expired, organization },
  'a certificate of another organization': foreign,
  'the certificate of another organization, and our name': {
    ...(await drawn()),
    organization,
    envelopes: foreign.envelopes,
  },
  'a certificate that was revoked': revoked,
  "a member's certificate that is not its own": {
    ...(await drawn()),
    organization,
    envelopes: mallory.envelopes,
  },
}
for (const [what, as] of Object.entries(strangers)) {
  // The registry serves the other organization, too.
  const doors = as === foreign ? targets.slice(0, 2) : targets
  const logs = as === foreign ? LOGS.slice(0, 2) : LOGS
  rule(`with ${what} a stranger changes nothing, is thrown out, and is logged once`, async () => {
    const before = [await beliefs(), await registryBelief()]
    for (const speech of [...SPEECHES, ...BROKEN, 'hello', 'hello', 'hello'] as const) {
      const taken = z
        .array(z.number())
        .parse(await attacker.ask({ kind: 'intrude', as, targets: doors, speech }))
      for (const ms of taken) assert.ok(ms < 6000, `${speech} was ended after ${ms} ms`)
    }
    assert.equal([await beliefs(), await registryBelief()], before)
    for (const log of logs) assert.is(linesAbout(log, as.peer).length, 1, log)
  })
}

for (const speech of [...BROKEN, ...SPEECHES.slice(1)] as const) {
  rule(`is thrown out for a first word that is ${speech}`, async () => {
    const as = { ...(await drawn()), organization, envelopes: mallory.envelopes }
    const before = [await beliefs(), await registryBelief()]
    const taken = z
      .array(z.number())
      .parse(await attacker.ask({ kind: 'intrude', as, targets, speech }))
    for (const ms of taken) assert.ok(ms < 6000, `ended after ${ms} ms`)
    assert.equal([await beliefs(), await registryBelief()], before)
    for (const log of LOGS) assert.is(linesAbout(log, as.peer).length, 1, log)
  })
}

rule('a hostile member is believed of itself alone, and the others stay up', async () => {
  const known = z
    .array(z.string())
    .parse(await attacker.ask({ kind: 'join', as: mallory, targets }))
  const old = known.filter((each) => openEnvelope(fromBase64(each)).kind === 'endpoint-update')
  assert.ok(old.length >= 2, 'it knows the endpoints of others')
  await until('it is a peer', 60_000, async () => (await hub.peer('mallory')) !== undefined)
  const before = [await beliefs(), await registryBelief()]
  const megabytes = members.map(residentMegabytes)
  const victim = hub.host.address
  await attacker.ask({ kind: 'nonsense', count: 6000, victim })
  await Promise.all([attacker.ask({ kind: 'nonsense', count: 2000, victim }), answered()])
  await attacker.ask({ kind: 'replay', envelopes: [...old, ...known] })
  await Promise.all([attacker.ask({ kind: 'relay', count: 2000 }), answered()])
  await Promise.all([attacker.ask({ kind: 'streams', count: 400 }), answered()])
  assert.equal([await beliefs(), await registryBelief()], before)
  for (const [index, agent] of members.entries()) {
    const grown = residentMegabytes(agent) - (megabytes[index] ?? 0)
    console.log(
      `${agent.name}: ${Math.round(megabytes[index] ?? 0)} MB, and ${Math.round(grown)} MB more`,
    )
    assert.ok(grown < 150, `${agent.name} has grown by ${Math.round(grown)} MB`)
  }
})

rule('a member that gossips garbage is thrown out, with one line', async () => {
  await attacker.ask({ kind: 'garbage' })
  await until('it is connected to nobody', 60_000, async () =>
    (await Promise.all(members.map((agent) => agent.peer('mallory')))).every(
      (peer) => peer?.meshConnected === false,
    ),
  )
  for (const log of ['hub.log', 'laptop.log']) {
    const lines = linesAbout(log, mallory.peer).filter((line) => line.includes('"warn"'))
    assert.is(lines.length, 1, lines.join('\n'))
  }
  await answered()
})

rule('no log of all this holds a secret', async () => {
  const state = join(scene.lab.folder)
  const secrets = readdirSync(state, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.key'))
    .map((file) => readFileSync(join(state, file)))
  assert.ok(secrets.length >= 6, `${secrets.length} key files`)
  for (const log of LOGS) {
    const text = readFileSync(join(scene.lab.folder, log), 'utf8')
    assert.not.match(text, /nrk_|correct horse|entirely different/, log)
    for (const secret of secrets) {
      for (const encoding of ['hex', 'base64', 'base64url'] as const)
        assert.not.ok(text.includes(secret.toString(encoding)), `${log} holds a key`)
    }
  }
})

rule.after(async () => {
  attacker[Symbol.dispose]()
  bob[Symbol.dispose]()
  await pinging[Symbol.asyncDispose]()
  await scene.stop()
})
rule.run()
