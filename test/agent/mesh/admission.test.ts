// time limit: 240 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { systemClock } from '../../../agent/system-clock.ts'
import { concat } from '../../../crypto/bytes.ts'
import { generateSigningKeyPair } from '../../../crypto/signing.ts'
import { encodeGreeting, HELLO_BYTES, proveHello } from '../../../protocol/hello.ts'
import type { DeviceKeyPair, OrganizationId } from '../../../protocol/keys.ts'
import { seconds } from '../../../protocol/time.ts'
import { testOrganization } from '../../support/organization.ts'
import { linked, type MeshAgent, saysWarning, startAgent, until } from './mesh-agent.ts'
import { type Speech, startStranger } from './stranger.ts'

const now = systemClock.now()
const acme = testOrganization('acme', now)
const evil = testOrganization('evil', now)
const rule = suite('admission (SPEC §7.1) over TCP')

const greeting = (organization: OrganizationId, nonce: Uint8Array, ...envelopes: Uint8Array[]) =>
  encodeGreeting({ version: 1, organization, nonce, envelopes })

/** A hello in due form with these envelopes. */
const properly =
  (key: DeviceKeyPair, organization: OrganizationId, ...envelopes: Uint8Array[]) =>
  async (speech: Speech): Promise<void> => {
    await speech.say(greeting(organization, speech.hello.nonce, ...envelopes))
    const nonce = await speech.theirNonce()
    await speech.say(proveHello(organization, key, speech.hello, nonce, now))
  }

/** Lets a stranger in through the door of a member; what came of it. */
const intrude = async (
  key: DeviceKeyPair,
  speak: (speech: Speech) => Promise<void>,
  initial = acme.stateWith('host', 'member'),
): Promise<{ agent: MeshAgent; thrownOutMs: number }> => {
  await using agent = await startAgent(acme, 'host', { initial })
  await using stranger = await startStranger(key)
  const before = agent.state()
  const thrownOutMs = await stranger.intrude(agent.address(), speak)
  await systemClock.sleep(20)
  assert.equal(agent.mesh.connections(), [])
  assert.is(agent.state(), before, 'nothing was learned')
  return { agent, thrownOutMs }
}
const reasonsOf = (agent: MeshAgent): readonly unknown[] =>
  saysWarning(agent, 'mesh.peer-refused').map(({ fields }) => fields['reason'])

rule('admits two members that know nothing of each other', async () => {
  await using host = await startAgent(acme, 'host', { initial: acme.stateWith('host') })
  await using member = await startAgent(acme, 'member', {
    initial: acme.stateWith('member', 'host'),
    known: { host: [host.address()] },
  })
  await until('both linked', () => linked(host, member) && linked(member, host))
  assert.equal(
    host.mesh.connections().map(({ name, kind }) => [name, kind]),
    [['member', 'direct']],
  )
})

rule('refuses a stranger without a certificate, at once and with one line', async () => {
  const key = generateSigningKeyPair<'device'>()
  const { agent } = await intrude(key, properly(key, acme.id))
  assert.equal(reasonsOf(agent), ['not-member'])
})

rule('refuses an expired certificate', async () => {
  const old = acme.device('old')
  const expired = acme.certificate(old, {
    notBefore: seconds(now - 900),
    notAfter: seconds(now - 1),
  })
  const { agent } = await intrude(
    old.key,
    properly(old.key, acme.id, acme.issuerCertificate(), expired),
  )
  assert.equal(reasonsOf(agent), ['not-member'])
})

rule('refuses another organization', async () => {
  const { key } = evil.device('spy')
  const envelopes = [evil.issuerCertificate(), evil.certificate(evil.device('spy'))]
  const own = await intrude(key, properly(key, evil.id, ...envelopes))
  assert.equal(reasonsOf(own.agent), ['wrong-organization'])
  const claimed = await intrude(key, properly(key, acme.id, ...envelopes))
  assert.equal(reasonsOf(claimed.agent), ['not-member'])
})

rule('refuses a revoked device', async () => {
  const member = acme.device('member')
  const revocations = new Map([[member.serial, seconds(now + 86_400)]])
  const initial = acme.state(
    acme.issuerCertificate(),
    acme.manifest({ sequence: 2, revocations }),
    acme.certificate(acme.device('host')),
    acme.certificate(member),
  )
  const proof = properly(member.key, acme.id, acme.issuerCertificate(), acme.certificate(member))
  const { agent } = await intrude(member.key, proof, initial)
  assert.equal(reasonsOf(agent), ['revoked'])
})

rule('refuses a replayed proof', async () => {
  const { key } = acme.device('member')
  const { agent } = await intrude(key, async (speech) => {
    const yesterday = new Uint8Array(16).fill(1)
    await speech.say(greeting(acme.id, speech.hello.nonce))
    await speech.say(proveHello(acme.id, key, speech.hello, yesterday, now))
  })
  assert.equal(reasonsOf(agent), ['bad-proof'])
})

rule('refuses truncated, bit-flipped and oversized messages', async () => {
  const { key } = acme.device('member')
  const whole = greeting(acme.id, new Uint8Array(16), acme.certificate(acme.device('member')))
  const flipped = Uint8Array.from(whole)
  flipped[200] = (flipped[200] ?? 0) ^ 4
  const speeches: ((speech: Speech) => Promise<void>)[] = [
    (speech) => speech.say(whole.subarray(0, -7)),
    async (speech) => {
      await speech.say(flipped)
      await speech.say(proveHello(acme.id, key, speech.hello, await speech.theirNonce(), now))
    },
    (speech) => speech.say(new Uint8Array(HELLO_BYTES + 1)),
    async (speech) =>
      speech.sayRaw(concat(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff), whole)),
  ]
  for (const speak of speeches) {
    const { agent } = await intrude(key, speak)
    assert.is(reasonsOf(agent).length, 1)
    assert.match(String(reasonsOf(agent)[0]), /malformed|bad signature/)
  }
})

rule('tells nothing of itself to whoever does not know its organization', async () => {
  const key = generateSigningKeyPair<'device'>()
  for (const first of [undefined, greeting(evil.id, new Uint8Array(16))]) {
    let heard: Uint8Array | undefined
    await intrude(key, async (speech) => {
      if (first !== undefined) await speech.say(first)
      heard = await speech.theirNonce()
    })
    assert.is(heard, undefined)
  }
})

rule('disconnects after 3 s whoever says nothing', async () => {
  const { agent, thrownOutMs } = await intrude(generateSigningKeyPair(), async () => undefined)
  assert.ok(thrownOutMs > 2500, `${thrownOutMs} ms`)
  assert.equal(reasonsOf(agent), ['no hello within 3000 ms'])
})

rule('turns away a refused stranger that comes again, without another line', async () => {
  await using agent = await startAgent(acme, 'host', { initial: acme.stateWith('host') })
  const key = generateSigningKeyPair<'device'>()
  await using stranger = await startStranger(key)
  await stranger.intrude(agent.address(), properly(key, acme.id))
  let turnedAway = 0
  for (let n = 0; n < 10; n++) {
    await stranger.intrude(agent.address(), properly(key, acme.id)).catch(() => {
      turnedAway += 1
    })
  }
  assert.is(reasonsOf(agent).length, 1)
  assert.ok(turnedAway === 10, `${turnedAway} of 10`)
})

rule(
  'never lets a stranger into gossip or the DHT, also not while its hello is pending',
  async () => {
    await using agent = await startAgent(acme, 'host', { initial: acme.stateWith('host') })
    await using stranger = await startStranger(generateSigningKeyPair())
    const asked: string[] = []
    for (const protocol of ['/meshsub/1.2.0', `/nexodus/kad/1/${acme.id}`, '/ipfs/id/1.0.0']) {
      await stranger.node.handle(protocol, (stream) => {
        stream.addEventListener('message', () => asked.push(protocol))
      })
    }
    const out = stranger.intrude(agent.address(), async () => undefined)
    await systemClock.sleep(500)
    const [connection] = stranger.node.getConnections()
    const answered = connection
      ?.newStream('/ipfs/id/1.0.0', { signal: AbortSignal.timeout(1500) })
      .then((stream) => new Promise((resolve) => stream.addEventListener('message', resolve)))
    const heard = await Promise.race([
      answered?.then(() => 'answered'),
      systemClock.sleep(1500).then(() => 'silence'),
    ]).catch(() => 'silence')
    assert.equal([heard, asked], ['silence', []])
    await out
  },
)

rule.run()
