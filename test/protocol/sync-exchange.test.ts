import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Envelope, openEnvelope } from '../../protocol/envelope.ts'
import { BadSignatureError, MalformedError } from '../../protocol/errors.ts'
import { apply, type OrganizationState } from '../../protocol/state.ts'
import { digestOf, encodeSyncMessage, parseSyncMessage, syncable } from '../../protocol/sync.ts'
import { answerSync, offerSync, type SyncParty } from '../../protocol/sync-exchange.ts'
import { seconds } from '../../protocol/time.ts'
import { framePair, type Tamper } from '../support/frame-pair.ts'
import { NOON, testOrganization } from '../support/organization.ts'

const acme = testOrganization('acme')
const names = ['ant', 'bee', 'cow', 'dog', 'eel']
const devices = names.map((name) => acme.device(name))
const rule = suite('sync exchange (SPEC §7.2)')

/** A party with a state of its own. */
const partyOf = (initial: OrganizationState): SyncParty & { state(): OrganizationState } => {
  let state = initial
  return {
    state: () => state,
    syncable: () => syncable(state, NOON),
    receive: (envelope) => {
      state = apply(state, envelope, NOON).state
    },
  }
}
const held = (party: SyncParty): string =>
  Buffer.from(digestOf(party.syncable().keys()).hashes).toString('hex')
const sync = async (
  a: SyncParty,
  b: SyncParty,
  pushed: readonly Envelope[] = [],
): Promise<number> => {
  const pair = framePair()
  await Promise.all([offerSync(pair.a, a, pushed), answerSync(pair.b, b)])
  return [...pair.sentByA, ...pair.sentByB].reduce((sum, { length }) => sum + length, 0)
}

/** Everything that may be around: five devices, two manifests, updates old and new, routes, a revocation. */
const pool: readonly Uint8Array[] = [
  acme.issuerCertificate(),
  acme.manifest(),
  acme.manifest({
    sequence: 2,
    revocations: new Map([[devices[4]?.serial ?? '', seconds(NOON + 9)]]),
  }),
  ...devices.flatMap((device, n) => [
    acme.certificate(device),
    acme.endpoint(device),
    acme.endpoint(device, { sequence: 2 }),
    acme.certificate(device, { prefixes: ['10.99.0.0/16' as never], manifestSequence: 2 }),
    acme.route(device, `10.99.${n}.1/32`),
  ]),
]
const some = fc
  .subarray([...pool])
  .chain((chosen) => fc.shuffledSubarray(chosen, { minLength: chosen.length }))

rule('brings any two states to the union of what both held, in three rounds at most', async () => {
  await fc.assert(
    fc.asyncProperty(some, some, async (first, second) => {
      const [a, b] = [partyOf(acme.state(...first)), partyOf(acme.state(...second))]
      await sync(a, b)
      // One side's issuer vouches for the other's certificate, that for the first one's update.
      await sync(b, a)
      await sync(a, b)
      assert.is(held(a), held(b))
      const union = partyOf(acme.state(...first, ...second))
      for (const id of union.syncable().keys()) assert.ok(a.syncable().has(id))
    }),
    { numRuns: 60 },
  )
})

rule('costs two that agree less than a hundred bytes', async () => {
  const state = acme.state(...pool)
  assert.ok((await sync(partyOf(state), partyOf(state))) < 100)
})

rule('sends only what is lacking', async () => {
  const base = acme.stateWith(...names)
  const news = acme.endpoint(devices[0] as never)
  const a = partyOf(apply(base, openEnvelope(news), NOON).state)
  const b = partyOf(base)
  const bytes = await sync(a, b)
  assert.ok(b.state().endpoints.size === 1)
  assert.ok(bytes < 4096 + 600 + news.length, `${bytes} bytes`)
})

rule(
  'pushes news in the first frame, so that two that agree otherwise are done in one round trip',
  async () => {
    const base = acme.stateWith(...names)
    const news = openEnvelope(acme.endpoint(devices[0] as never))
    const a = partyOf(apply(base, news, NOON).state)
    const b = partyOf(base)
    const pair = framePair()
    await Promise.all([offerSync(pair.a, a, [news]), answerSync(pair.b, b)])
    assert.equal(
      pair.sentByA.map((each) => parseSyncMessage(each).kind),
      ['envelopes', 'summary'],
    )
    assert.equal(
      pair.sentByB.map((each) => parseSyncMessage(each).kind),
      ['end'],
    )
    assert.is(held(a), held(b))
  },
)

rule('carries 10,000 envelopes over several frames of ids', async () => {
  const device = devices[0]
  const many = new Map<string, Envelope>()
  for (let n = 0; n < 10_000; n++) {
    const id = n.toString(16).padStart(4, '0').repeat(8)
    many.set(id, { id, bytes: Uint8Array.of(1) } as unknown as Envelope)
  }
  const lacking = openEnvelope(acme.endpoint(device as never))
  const got: string[] = []
  const a: SyncParty = {
    syncable: () => new Map(many).set(lacking.id, lacking),
    receive: () => undefined,
  }
  const b: SyncParty = { syncable: () => many, receive: (envelope) => got.push(envelope.id) }
  await sync(a, b)
  assert.equal(got, [lacking.id])
})

const tampered = async (tamper: Tamper): Promise<[unknown, OrganizationState]> => {
  const pair = framePair(tamper)
  const b = partyOf(acme.stateWith())
  const offered = offerSync(pair.a, partyOf(acme.state(...pool)))
  offered.catch(() => undefined)
  const fault = await answerSync(pair.b, b).then(
    () => 'done',
    (error: unknown) => error,
  )
  return [fault, b.state()]
}

rule('ends at a forged envelope, which changes nothing', async () => {
  const forged = Uint8Array.from(acme.certificate(devices[0] as never))
  forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1
  const [fault, state] = await tampered((frame) =>
    parseSyncMessage(frame).kind === 'envelopes'
      ? encodeSyncMessage({ kind: 'envelopes', envelopes: [forged] })
      : frame,
  )
  assert.instance(fault, BadSignatureError)
  assert.is(state.memberships.size, 0)
})

rule('ends at messages out of order, and at bytes that are none', async () => {
  for (const wrong of [
    encodeSyncMessage({ kind: 'end' }),
    encodeSyncMessage({ kind: 'ids', ids: [] }),
    Uint8Array.of(0xff),
    new Uint8Array(0),
  ]) {
    const [fault] = await tampered(() => wrong)
    assert.instance(fault, MalformedError)
  }
})

rule.run()
