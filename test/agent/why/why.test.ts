import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { MeshConnection } from '../../../agent/mesh/mesh.ts'
import type { WhyReply } from '../../../agent/mesh/why-stream.ts'
import { noPathFacts } from '../../../agent/path/path-evidence.ts'
import { plan } from '../../../agent/plan.ts'
import type { EnforcementStatus } from '../../../agent/policy-enforcement.ts'
import type { TunnelPeerStats } from '../../../agent/tunnel/backend.ts'
import { ownEvidence, type WhySource } from '../../../agent/why/own-evidence.ts'
import { Why } from '../../../agent/why/why.ts'
import { sha256 } from '../../../crypto/hash.ts'
import { signingKeyPairFromSeed } from '../../../crypto/signing.ts'
import { parseEndpoint, parsePrefix, prefixAddress } from '../../../protocol/address.ts'
import { openEnvelope } from '../../../protocol/envelope.ts'
import type { DeviceId } from '../../../protocol/keys.ts'
import { policyOf } from '../../../protocol/policy.ts'
import { parsePolicyDocument } from '../../../protocol/policy-document.ts'
import { apply, type OrganizationState, prune } from '../../../protocol/state.ts'
import { type Seconds, seconds } from '../../../protocol/time.ts'
import { healthyEvidence } from '../../support/evidence.ts'
import { NOON, testOrganization } from '../../support/organization.ts'

const acme = testOrganization('acme')
const [laptop, phone, tablet] = ['laptop', 'phone', 'tablet'].map((name) => acme.device(name)) as [
  ReturnType<typeof acme.device>,
  ReturnType<typeof acme.device>,
  ReturnType<typeof acme.device>,
]
const rule = suite('why: whom it is about, and what is told of whom')
const NOBODY: WhyReply = { kind: 'not-connected', refusal: undefined }
const renewal = { status: () => ({ reachable: true }) }

/** A laptop that knows this state, without sockets. */
function laptopKnowing(
  initial: OrganizationState,
  given: {
    readonly reply?: WhyReply
    readonly connections?: readonly MeshConnection[]
    readonly stats?: readonly TunnelPeerStats[]
    readonly localPrefixes?: readonly string[]
  } = {},
) {
  let state = initial
  let now: Seconds = NOON
  const listeners: (() => void)[] = []
  const asked: DeviceId[] = []
  const source: WhySource = {
    device: laptop.id,
    get plan() {
      const localPrefixes = (given.localPrefixes ?? []).map(parsePrefix)
      const self = { device: laptop.id, wireguardKey: laptop.wireguard, listenPort: 51820 }
      return plan(state, { ...self, mtu: 1420, localPrefixes }, now)
    },
    enforcement: { status: () => ({ revision: 0, state: 'enforced', since: NOON }) },
    local: { candidates: healthyEvidence().candidates, natMapping: 'none' },
    join: { name: 'laptop' },
    parts: {
      paths: { evidence: () => noPathFacts('answered') },
      relays: { names: () => ['hub'] },
      mesh: {
        why: async (to) => {
          asked.push(to)
          return given.reply ?? NOBODY
        },
        connections: () => given.connections ?? [],
      },
    },
    options: {
      system: 'nexd test',
      listenPort: 51820,
      knowledge: { state: () => state, onChange: (listener) => void listeners.push(listener) },
      tunnel: { stats: async () => given.stats ?? [] },
      clock: { now: () => now, nowMs: () => now * 1000 },
    },
  }
  return {
    source,
    asked,
    why: new Why(source, renewal),
    become: (next: OrganizationState, at: Seconds = now) => {
      state = next
      now = at
      for (const listener of listeners) listener()
    },
  }
}

async function refusal(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'not refused',
    (error: Error) => error.message,
  )
}

const everybody = acme.stateWith('laptop', 'phone', 'tablet')

rule('finds a device by name, id and overlay address, and asks it alone', async () => {
  const { why, asked } = laptopKnowing(everybody)
  for (const text of ['phone', phone.id, ...phone.addresses.map(prefixAddress)]) {
    const { peer, self, verdict } = await why.report(text)
    assert.equal(peer, { name: 'phone', deviceId: phone.id }, text)
    assert.is(self.name, 'laptop')
    assert.is(verdict.code, 'offline')
  }
  assert.equal(new Set(asked), new Set([phone.id]))
})

rule('refuses a name that nobody has and names near ones; and this device itself', async () => {
  const { why, asked } = laptopKnowing(everybody)
  assert.is(
    await refusal(why.report('fone')),
    'no device "fone" is or was a member, as far as is known here (did you mean phone?)',
  )
  assert.match(await refusal(why.report('zzzzzzzz')), /\(nexctl peers list shows the members\)$/)
  assert.match(await refusal(why.report('laptop')), /^laptop is this device itself/)
  assert.equal(asked, [])
})

rule('knows a device that was revoked', async () => {
  const daemon = laptopKnowing(everybody)
  const revocations = new Map([[phone.serial, seconds(NOON + 9999)]])
  const manifest = openEnvelope(acme.manifest({ sequence: 2, revocations }))
  daemon.become(apply(everybody, manifest, NOON).state)
  const { verdict, known } = await daemon.why.report('phone')
  assert.is(verdict.code, 'revoked')
  assert.is(known.standing, 'revoked')
})

rule('knows a device whose certificate ended, when belief has long forgotten it', async () => {
  const short = { notAfter: seconds(NOON + 60) }
  const state = apply(
    acme.stateWith('laptop'),
    openEnvelope(acme.certificate(phone, short)),
    NOON,
  ).state
  const daemon = laptopKnowing(state)
  const later = seconds(NOON + 7260)
  daemon.become(prune(state, later), later)
  const { verdict, known } = await daemon.why.report('phone')
  assert.match(verdict.sentence, /^The certificate of phone ended 2 h ago/)
  assert.is(known.certificate?.notAfter, '2026-01-01T12:01:00.000Z')
})

rule('takes no name from a certificate of an issuer that nobody listed', async () => {
  const forger = signingKeyPairFromSeed<'issuer'>(sha256(Uint8Array.of(7)))
  const forged = { name: 'bank', notBefore: seconds(NOON - 1) }
  const state = apply(everybody, openEnvelope(acme.certificate(phone, forged, forger)), NOON).state
  const { why } = laptopKnowing(state)
  assert.match(await refusal(why.report('bank')), /^no device "bank"/)
  assert.is((await why.report(phone.id)).peer.name, 'phone')
})

rule('prefers a member to one that bore the name before', async () => {
  const old = apply(everybody, openEnvelope(acme.certificate(tablet, { name: 'phone' })), NOON)
  const revocations = new Map([[tablet.serial, seconds(NOON + 9999)]])
  const manifest = openEnvelope(acme.manifest({ sequence: 2, revocations }))
  const { why } = laptopKnowing(apply(old.state, manifest, NOON).state)
  assert.is((await why.report('phone')).peer.deviceId, phone.id)
})

rule('says so when this device is no member any more, with its name still', async () => {
  const daemon = laptopKnowing(everybody)
  const revocations = new Map([[laptop.serial, seconds(NOON + 9999)]])
  const manifest = openEnvelope(acme.manifest({ sequence: 2, revocations }))
  daemon.become(apply(everybody, manifest, NOON).state)
  const { verdict } = await daemon.why.report('phone')
  assert.match(verdict.sentence, /^laptop, this device, is no member .* removed in the registry/)
})

rule('tells an asker of the path to itself, and nothing of others (SPEC §11.1)', async () => {
  const routes = ['10.1.0.0/16', '10.2.0.0/16'].map(parsePrefix)
  const state = [
    acme.certificate(phone, { prefixes: routes, notBefore: seconds(NOON - 5) }),
    acme.certificate(tablet, { prefixes: routes, notBefore: seconds(NOON - 5) }),
    acme.route(phone, '10.1.0.0/16'),
    acme.route(tablet, '10.2.0.0/16'),
  ].reduce((before, bytes) => apply(before, openEnvelope(bytes), NOON).state, everybody)
  const connection = (device: DeviceId, kind: MeshConnection['kind']): MeshConnection => ({
    device,
    kind,
    remoteAddress: '/ip4/192.0.2.1/tcp/1',
    since: 0,
  })
  const stats = [phone, tablet].map(({ wireguard }, index) => ({
    publicKey: wireguard.publicKey,
    endpoint: parseEndpoint(index === 0 ? '127.0.0.1:40000' : '192.0.2.9:51820'),
    latestHandshake: seconds(index === 0 ? NOON - 30 : NOON - 5),
    receivedBytes: 100 + index,
    sentBytes: 200 + index,
  }))
  const { source } = laptopKnowing(state, {
    localPrefixes: ['10.0.0.0/8'],
    connections: [connection(phone.id, 'circuit'), connection(tablet.id, 'direct')],
    stats,
  })
  const evidence = await ownEvidence(source, phone.id)
  assert.equal(evidence.leftOut, [
    { prefix: parsePrefix('10.1.0.0/16'), reason: 'overlaps a local network' },
  ])
  assert.equal(evidence.links, ['circuit'])
  assert.equal(evidence.wireguard, {
    handshakeAgoMs: 30_000,
    missingForMs: undefined,
    receivedBytes: 100,
    sentBytes: 200,
    endpoint: undefined,
  })
  const text = JSON.stringify(evidence)
  assert.not.match(text, /10\.2\.0\.0|192\.0\.2\.9|tablet/)
  assert.not.ok(text.includes(tablet.id))
})

rule('knows what the policy lets pass, and what the peer says of it', async () => {
  const { rules } = parsePolicyDocument(
    'version: 1\ndefault: {inbound: deny, outbound: accept}\nsecurity_groups: {web: {inbound_rules: [{ip_protocol: tcp, from_port: 80, to_port: 80, devices: [phone]}]}}',
  )
  const state = [
    acme.manifest({ sequence: 2, policy: policyOf({ revision: 6, ...rules }) }),
    acme.certificate(laptop, { groups: ['web'], notBefore: seconds(NOON - 5) }),
    acme.endpoint(phone, { policy: { revision: 5, state: 'enforced', since: NOON } }),
  ].reduce((before, bytes) => apply(before, openEnvelope(bytes), NOON).state, everybody)
  const reply: WhyReply = {
    kind: 'answered',
    evidence: healthyEvidence({ manifestSequence: 2 }),
    ...{ clockAheadMs: 0, clockErrorMs: 1 },
  }
  const { source } = laptopKnowing(state, { reply })
  const enforced: EnforcementStatus = { revision: 6, state: 'enforced', since: NOON }
  const why = new Why({ ...source, enforcement: { status: () => enforced } }, renewal)
  const { known } = await why.report('phone')
  assert.equal(known.policy, {
    ours: { revision: 6, state: 'enforced' },
    theirs: { revision: 5, state: 'enforced' },
    ...{ to: 'nothing', from: 'something' },
  })
})

rule('has no WireGuard peer and no path where the device is no peer', async () => {
  const evidence = await ownEvidence(laptopKnowing(acme.stateWith('laptop')).source, phone.id)
  assert.is(evidence.wireguard, undefined)
  assert.is(evidence.path.phase, 'unknown')
  assert.is(evidence.certificateNotAfter, NOON + 86_400)
  assert.is(evidence.manifestSequence, 1)
})

rule.run()
