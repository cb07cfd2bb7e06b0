import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { sha256 } from '../../crypto/hash.ts'
import { signingKeyPairFromSeed } from '../../crypto/signing.ts'
import { encodeGreeting, type HelloVerdict, proveHello } from '../../protocol/hello.ts'
import {
  answerHello,
  type HelloConnection,
  type HelloParty,
  offerHello,
  vouchingEnvelopes,
} from '../../protocol/hello-exchange.ts'
import type { OrganizationState } from '../../protocol/state.ts'
import { type Seconds, seconds } from '../../protocol/time.ts'
import { framePair, type Tamper } from '../support/frame-pair.ts'
import {
  NOON,
  type TestDevice,
  type TestOrganization,
  testOrganization,
} from '../support/organization.ts'

const acme = testOrganization('acme')
const evil = testOrganization('evil')
const [laptop, phone] = [acme.device('laptop'), acme.device('phone')]

const rule = suite('hello exchange (SPEC §7.1)')

interface Side {
  readonly party: HelloParty
  readonly learned: OrganizationState[]
}

/** `state` is what it believes, `vouched` what it can show (its own certificate, normally in `state`). */
const deviceSide = (device: TestDevice, state: OrganizationState): Side => {
  const learned: OrganizationState[] = []
  const party: HelloParty = {
    organization: state.organization,
    key: device.key,
    device: device.id,
    state: () => state,
    learn: (next) => learned.push(next),
  }
  return { party, learned }
}
const registrySide = (organization: TestOrganization, state: OrganizationState): Side => {
  const learned: OrganizationState[] = []
  const party: HelloParty = {
    organization: organization.id,
    key: organization.issuer,
    device: undefined,
    state: () => state,
    learn: (next) => learned.push(next),
  }
  return { party, learned }
}
const connection = (
  ours: string,
  theirs: string,
  peer: TestDevice | undefined,
  now: Seconds = NOON,
): HelloConnection => ({
  ours,
  theirs,
  peerDevice: peer?.id,
  nonce: sha256(Buffer.from(`${ours} nonce`)).subarray(0, 16),
  now: () => now,
})
const outcome = (verdict: HelloVerdict | Error): string => {
  if (verdict instanceof Error) return `fault: ${verdict.message.slice(0, 40)}`
  if (!verdict.ok) return verdict.refusal
  return verdict.who.kind === 'device' ? `device ${verdict.who.name}` : 'registry'
}

/** Laptop (A) and whoever B is say hello; what each makes of the other. */
const meet = async (
  a: Side,
  b: Side,
  options: { bDevice?: TestDevice; tamper?: Tamper; nowB?: Seconds; theirsOfB?: string } = {},
): Promise<[string, string]> => {
  const pair = framePair(options.tamper)
  const caught = async (hello: Promise<HelloVerdict>): Promise<HelloVerdict | Error> =>
    hello.catch((error: unknown) => error as Error)
  const toB = connection('peer-a', 'peer-b', options.bDevice ?? phone)
  const toA = connection('peer-b', options.theirsOfB ?? 'peer-a', laptop, options.nowB)
  // Whoever refuses closes; here the other's read would wait for ever.
  const verdicts = await Promise.all([
    Promise.race([caught(offerHello(pair.a, toB, a.party)), ended()]),
    Promise.race([caught(offerHello(pair.b, toA, b.party)), ended()]),
  ])
  return [outcome(verdicts[0]), outcome(verdicts[1])]
}
const ended = async (): Promise<Error> =>
  new Promise((resolve) => setTimeout(() => resolve(new Error('nothing came')), 50))

rule('admits two members that know nothing of each other but their organization', async () => {
  const a = deviceSide(laptop, acme.stateWith('laptop'))
  const b = deviceSide(phone, acme.stateWith('phone'))
  assert.equal(await meet(a, b), ['device phone', 'device laptop'])
  assert.ok(a.learned[0]?.memberships.size === 2, 'a has learned the certificate of b')
})

rule('teaches nothing, and says so, when all was known', async () => {
  const state = acme.stateWith('laptop', 'phone')
  const a = deviceSide(laptop, state)
  assert.equal(await meet(a, deviceSide(phone, state)), ['device phone', 'device laptop'])
  assert.equal(a.learned, [])
})

rule('refuses a device without a certificate, and learns nothing from it', async () => {
  const a = deviceSide(laptop, acme.stateWith('laptop'))
  const [seen] = await meet(a, deviceSide(phone, acme.stateWith()))
  assert.equal(seen, 'not-member')
  assert.equal(a.learned, [])
})

rule('refuses an expired certificate', async () => {
  const old = acme.certificate(phone, {
    notBefore: seconds(NOON - 900),
    notAfter: seconds(NOON - 1),
  })
  const holding = acme.state(acme.issuerCertificate(), acme.manifest())
  const b = {
    ...holding,
    memberships: testOrganization('acme', seconds(NOON - 60)).state(acme.issuerCertificate(), old)
      .memberships,
  }
  const [seen] = await meet(deviceSide(laptop, acme.stateWith('laptop')), deviceSide(phone, b))
  assert.equal(seen, 'not-member')
})

rule('refuses a revoked certificate, whatever its holder believes', async () => {
  const revoked = acme.manifest({
    sequence: 2,
    revocations: new Map([[phone.serial, seconds(NOON + 86_400)]]),
  })
  const a = acme.state(acme.issuerCertificate(), acme.manifest(), acme.certificate(laptop), revoked)
  const [seen] = await meet(deviceSide(laptop, a), deviceSide(phone, acme.stateWith('phone')))
  assert.equal(seen, 'revoked')
})

rule('refuses another organization before it has proved anything to it', async () => {
  const pair = framePair()
  const party = deviceSide(evil.device('phone'), evil.stateWith('phone')).party
  const verdict = offerHello(
    pair.a,
    connection('a', 'b', phone),
    deviceSide(laptop, acme.stateWith('laptop')).party,
  )
  void offerHello(pair.b, connection('b', 'a', laptop), party)
  assert.equal(outcome(await verdict), 'wrong-organization')
  assert.is(pair.sentByA.length, 1)
})

rule('refuses a certificate from an issuer that the root did not name', async () => {
  const impostor = signingKeyPairFromSeed<'issuer'>(sha256(Buffer.from('impostor')))
  const b = acme.state(
    acme.issuerCertificate(),
    acme.manifest(),
    acme.certificate(phone, {}, impostor),
  )
  const [seen] = await meet(deviceSide(laptop, acme.stateWith('laptop')), deviceSide(phone, b))
  assert.equal(seen, 'not-member')
})

rule('refuses the certificate of one device shown by another', async () => {
  const a = deviceSide(laptop, acme.stateWith('laptop'))
  const thief = acme.device('thief')
  const b = deviceSide({ ...phone, key: thief.key }, acme.stateWith('phone'))
  const [seen] = await meet(a, b, { bDevice: thief })
  assert.equal(seen, 'not-member')
})

rule('refuses a proof by a key that is not the peer id of the connection', async () => {
  const a = deviceSide(laptop, acme.stateWith('laptop'))
  const b = deviceSide(phone, acme.stateWith('phone'))
  const [seen] = await meet(a, b, { bDevice: acme.device('thief') })
  assert.equal(seen, 'bad-proof')
})

rule('refuses a proof made for another connection: a replay', async () => {
  const state = acme.stateWith('laptop', 'phone')
  const fresh = { ours: 'peer-b', theirs: 'peer-a' }
  const other = sha256(Buffer.from('the nonce of yesterday')).subarray(0, 16)
  for (const [peers, nonce] of [
    [fresh, other],
    [{ ours: 'peer-b', theirs: 'peer-c' }, undefined],
    [{ ours: 'peer-d', theirs: 'peer-a' }, undefined],
  ] as const) {
    const mine = connection('peer-a', 'peer-b', phone)
    const replayed = proveHello(acme.id, phone.key, peers, nonce ?? mine.nonce, NOON)
    const pair = framePair()
    await pair.b.write(
      encodeGreeting({ version: 1, organization: acme.id, nonce: other, envelopes: [] }),
    )
    await pair.b.write(replayed)
    const verdict = await offerHello(pair.a, mine, deviceSide(laptop, state).party)
    assert.equal(outcome(verdict), 'bad-proof')
  }
})

rule('says that the clocks differ instead of refusing mutely', async () => {
  const a = deviceSide(laptop, acme.stateWith('laptop', 'phone'))
  const b = deviceSide(phone, acme.stateWith('laptop', 'phone'))
  const [seen] = await meet(a, b, { nowB: seconds(NOON - 400) })
  assert.equal(seen, 'clock')
})

rule('takes whoever proves the issuer key for the registry, whatever its peer id', async () => {
  const a = deviceSide(laptop, acme.stateWith('laptop'))
  const b = registrySide(acme, acme.stateWith())
  const pair = framePair()
  const [seen, answered] = await Promise.all([
    offerHello(pair.a, connection('peer-a', 'peer-r', acme.device('not a member')), a.party),
    answerHello(pair.b, connection('peer-r', 'peer-a', laptop), (organization) =>
      organization === acme.id ? b.party : undefined,
    ),
  ])
  assert.equal([outcome(seen), outcome(answered.verdict)], ['registry', 'device laptop'])
  assert.ok(b.learned[0]?.memberships.size === 1, 'the registry has learned the certificate')
})

rule('lets a registry say nothing to an organization that it does not serve', async () => {
  const pair = framePair()
  const silent = answerHello(pair.b, connection('peer-r', 'peer-a', laptop), () => undefined)
  void offerHello(
    pair.a,
    connection('peer-a', 'peer-r', undefined),
    deviceSide(laptop, acme.stateWith('laptop')).party,
  )
  const { party, verdict } = await silent
  assert.equal([party, outcome(verdict)], [undefined, 'wrong-organization'])
  assert.equal(pair.sentByB, [])
})

rule('refuses a registry whose issuer the manifest does not name', async () => {
  const impostor = signingKeyPairFromSeed<'issuer'>(sha256(Buffer.from('impostor')))
  const b = registrySide({ ...acme, issuer: impostor }, acme.stateWith())
  const [seen] = await meet(deviceSide(laptop, acme.stateWith('laptop')), b)
  assert.equal(seen, 'bad-proof')
})

rule(
  'is a fault of the sender, and teaches nothing, when a greeting or proof is changed on its way',
  async () => {
    for (const [index, at] of [
      [0, 10],
      [0, -20],
      [1, 10],
      [1, -10],
    ] as const) {
      const flip: Tamper = (frame, n) => {
        if (n !== index) return frame
        const copy = Uint8Array.from(frame)
        const place = at < 0 ? copy.length + at : at
        copy[place] = (copy[place] ?? 0) ^ 1
        return copy
      }
      const b = deviceSide(phone, acme.stateWith('phone'))
      const [, seen] = await meet(deviceSide(laptop, acme.stateWith('laptop')), b, { tamper: flip })
      assert.not.equal(seen, 'device laptop')
      assert.equal(b.learned, [])
    }
  },
)

rule('shows its own certificate, the issuers and the manifest, as far as they fit', () => {
  const envelopes = vouchingEnvelopes(acme.stateWith('laptop', 'phone'), laptop.id, NOON)
  assert.equal(
    envelopes.map(({ length }) => length),
    [acme.certificate(laptop).length, acme.issuerCertificate().length, acme.manifest().length],
  )
  const revocations = new Map(
    Array.from({ length: 1000 }, (_, n) => [n.toString(16).padStart(16, '0'), seconds(NOON + 9)]),
  )
  const large = acme.state(
    acme.issuerCertificate(),
    acme.certificate(laptop),
    acme.manifest({ revocations }),
  )
  assert.is(vouchingEnvelopes(large, laptop.id, NOON).length, 2)
})

rule.run()
