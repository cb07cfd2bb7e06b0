import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { OperatorError } from '../../agent/errors.ts'
import type { Knowledge } from '../../agent/knowledge.ts'
import type { Issued } from '../../agent/registry-client.ts'
import { Renewal } from '../../agent/renewal.ts'
import { systemClock } from '../../agent/system-clock.ts'
import { type Envelope, openEnvelope } from '../../protocol/envelope.ts'
import { apply, emptyState } from '../../protocol/state.ts'
import { seconds } from '../../protocol/time.ts'
import { NOON, testOrganization } from '../support/organization.ts'

const rule = suite('renewal (SPEC §4.2, §4.3)')
const acme = testOrganization('acme')
const [boss, laptop] = [acme.device('boss'), acme.device('laptop')]
const lock = { approvers: [boss.key.publicKey], since: seconds(NOON - 86_400) }
const LOCKED = acme.issuerCertificate({ notBefore: seconds(NOON - 3600), lock })

/** Asks once, and says in how many seconds it asks again. */
async function waits(
  known: readonly Uint8Array[],
  answer: readonly Uint8Array[],
): Promise<{ readonly seconds: number | undefined; readonly reachable: boolean }> {
  let state = emptyState(acme.id)
  const learn = (envelope: Envelope) => {
    const verdict = apply(state, envelope, NOON)
    state = verdict.state
    return verdict
  }
  for (const bytes of known) learn(openEnvelope(bytes))
  const delays: number[] = []
  const clock = {
    ...systemClock,
    now: () => NOON,
    after(delayMs: number) {
      delays.push(delayMs)
      return { cancel: () => undefined }
    },
  }
  const issued: Issued = {
    ...{ organization: acme.id, envelopes: [...answer], registries: [] },
    rendezvous: { multiaddrs: [], stun: [] },
  }
  const client = { renew: async () => issued }
  const knowledge = { state: () => state, learn } as unknown as Knowledge // it asks for no more
  const applicant = {
    ...{ deviceKey: laptop.key, wireguardKey: laptop.wireguard },
    ...{ name: 'laptop', system: 'test' },
  }
  using renewal = new Renewal(client, knowledge, applicant, () => undefined, {
    clock,
    log: () => undefined,
  })
  await renewal.now()
  return { seconds: (delays[0] ?? Number.NaN) / 1000, reachable: renewal.status().reachable }
}

rule('a new certificate is renewed at half of its life', async () => {
  const known = [acme.issuerCertificate(), acme.manifest()]
  const fresh = acme.certificate(laptop, { notBefore: NOON, notAfter: seconds(NOON + 86_400) })
  assert.equal(await waits(known, [fresh]), { seconds: 43_200, reachable: true })
})

rule(
  'the same certificate again says that an approver is waited for: it asks at ease',
  async () => {
    const own = acme.certificate(laptop)
    const asked = await waits([LOCKED, acme.manifest(), own], [LOCKED, acme.manifest(), own])
    assert.equal(asked, { seconds: 30, reachable: true })
  },
)

rule(
  'a certificate from before the lock, past its half, is not asked for all the time',
  async () => {
    const since = { ...lock, since: seconds(NOON - 30) }
    const issuer = acme.issuerCertificate({ notBefore: seconds(NOON - 3600), lock: since })
    const own = acme.certificate(laptop, {
      notBefore: seconds(NOON - 50_000),
      notAfter: seconds(NOON + 36_400),
    })
    const asked = await waits([issuer, acme.manifest(), own], [issuer, acme.manifest(), own])
    assert.is(asked.seconds, 30)
  },
)

rule('once it is approved it renews as ever', async () => {
  const own = acme.certificate(laptop)
  const renewed = acme.certificate(laptop, { notBefore: NOON, notAfter: seconds(NOON + 86_400) })
  const asked = await waits(
    [LOCKED, acme.manifest(), own],
    [LOCKED, acme.approval(boss, laptop), renewed],
  )
  assert.is(asked.seconds, 43_200)
})

/** A laptop whose certificate is renewed at noon, for a day, by a registry that may be away; its timers
 *  stand still. */
function asleep() {
  let state = emptyState(acme.id)
  const host = { now: NOON, isAway: false, asked: 0 }
  const timers = new Set<symbol>()
  const learn = (envelope: Envelope) => {
    const verdict = apply(state, envelope, host.now)
    state = verdict.state
    return verdict
  }
  for (const bytes of [acme.issuerCertificate(), acme.manifest()]) learn(openEnvelope(bytes))
  const clock = {
    ...systemClock,
    now: () => host.now,
    after: () => {
      const timer = Symbol('timer')
      timers.add(timer)
      return { cancel: () => void timers.delete(timer) }
    },
  }
  const renew = async (): Promise<Issued> => {
    host.asked += 1
    if (host.isAway) throw new OperatorError('ERR_REGISTRY', 'cannot reach the registry')
    const own = { notBefore: host.now, notAfter: seconds(host.now + 86_400) }
    return {
      ...{ organization: acme.id, envelopes: [acme.certificate(laptop, own)], registries: [] },
      rendezvous: { multiaddrs: [], stun: [] },
    }
  }
  const knowledge = { state: () => state, learn } as unknown as Knowledge // it asks for no more
  const keys = { deviceKey: laptop.key, wireguardKey: laptop.wireguard }
  const applicant = { ...keys, name: 'laptop', system: 'test' }
  const seams = { clock, log: () => undefined }
  const renewal = new Renewal({ renew }, knowledge, applicant, () => undefined, seams)
  return { host, timers, renewal }
}

rule('on waking it renews at once where the moment passed, once at a time', async () => {
  const { host, renewal } = asleep()
  using _ended = renewal
  await renewal.now()
  host.now = seconds(NOON + 43_000)
  renewal.tick()
  renewal.networkChanged()
  assert.is(host.asked, 1)
  host.now = seconds(NOON + 90_000)
  renewal.tick()
  renewal.networkChanged()
  await renewal.now()
  assert.is(host.asked, 2)
  renewal.tick()
  assert.is(host.asked, 2)
})

rule('after a change of the network a registry out of reach is asked within 5 s', async () => {
  const { host, timers, renewal } = asleep()
  using _ended = renewal
  host.isAway = true
  for (let attempt = 0; attempt < 8; attempt++) await renewal.now()
  renewal.networkChanged()
  assert.is(timers.size, 1)
  host.now = seconds(NOON + 3)
  renewal.networkChanged()
  host.now = seconds(NOON + 5)
  renewal.tick()
  assert.is(host.asked, 9)
})

rule('once it has ended it asks no more', async () => {
  const { host, renewal } = asleep()
  await renewal.now()
  renewal[Symbol.dispose]()
  host.now = seconds(NOON + 90_000)
  renewal.tick()
  renewal.networkChanged()
  assert.is(host.asked, 1)
})

rule.run()
