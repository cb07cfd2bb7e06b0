import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ControlError } from '../../agent/control/reports.ts'
import type { Knowledge } from '../../agent/knowledge.ts'
import { lockText } from '../../agent/nexctl-lock.ts'
import { OwnApprovals } from '../../agent/own-approvals.ts'
import { systemClock } from '../../agent/system-clock.ts'
import { membersOf } from '../../protocol/belief.ts'
import { openEnvelope } from '../../protocol/envelope.ts'
import { fingerprintOfBoth } from '../../protocol/fingerprint.ts'
import { apply, type OrganizationState } from '../../protocol/state.ts'
import { seconds } from '../../protocol/time.ts'
import { NOON, type TestDevice, testOrganization } from '../support/organization.ts'

const rule = suite('own approvals (SPEC §4.3)')
const acme = testOrganization('acme')
const [boss, laptop, phone] = [acme.device('boss'), acme.device('laptop'), acme.device('phone')]
const lock = { approvers: [boss.key.publicKey], since: seconds(NOON - 86_400) }
const LOCKED = acme.issuerCertificate({ notBefore: seconds(NOON - 3600), lock })

/** The approvals of one device, which knows what it is given. */
function agentOf(device: TestDevice, ...known: readonly Uint8Array[]) {
  let state: OrganizationState = acme.state(...known)
  const published: Uint8Array[] = []
  const logged: { event: string; fields: Record<string, unknown> }[] = []
  const knowledge = {
    state: () => state,
    learn(envelope: ReturnType<typeof openEnvelope>) {
      const verdict = apply(state, envelope, NOON)
      state = verdict.state
      return verdict
    },
  }
  const approvals = new OwnApprovals({
    knowledge: knowledge as unknown as Knowledge, // it asks for no more
    directory: { deviceKey: device.key, wireguardKey: device.wireguard },
    publish: (bytes) => void published.push(bytes),
    clock: { ...systemClock, now: () => NOON, nowMs: () => NOON * 1000 },
    log: (_level, event, fields = {}) => void logged.push({ event, fields }),
  })
  const names = () =>
    [...membersOf(state, NOON).values()].map(({ certificate }) => certificate.name)
  return { approvals, published, logged, names, knowledge }
}
const everybody = [boss, laptop, phone].map((each) => acme.certificate(each))
const refusalOf = (work: () => unknown): string => {
  try {
    work()
    return 'done'
  } catch (error) {
    assert.instance(error, ControlError)
    return String(error)
  }
}

rule('an approver approves itself, once', () => {
  const { approvals, published, names } = agentOf(boss, LOCKED, acme.manifest(), ...everybody)
  assert.equal(names(), [])
  approvals.tick()
  approvals.tick()
  assert.is(published.length, 1)
  assert.equal(names(), ['boss'])
})

rule('who is no approver says nothing, but is told of itself', () => {
  const agent = agentOf(laptop, LOCKED, acme.manifest(), ...everybody)
  agent.approvals.tick()
  agent.approvals.tick()
  assert.is(agent.published.length, 0)
  assert.equal(
    agent.logged.map(({ event }) => event),
    ['device.not-approved'],
  )
  const own = fingerprintOfBoth(laptop.id, laptop.wireguard.publicKey)
  assert.is(agent.logged[0]?.fields['fingerprint'], own)
  assert.match(
    refusalOf(() => agent.approvals.decide('phone', 'approved')),
    /no approver/,
  )
})

rule('without a lock there is nothing to say', () => {
  const agent = agentOf(boss, acme.issuerCertificate(), acme.manifest(), ...everybody)
  agent.approvals.tick()
  assert.equal([agent.published.length, agent.logged.length], [0, 0])
  assert.match(
    refusalOf(() => agent.approvals.decide('phone', 'approved')),
    /not locked/,
  )
  assert.match(lockText(agent.approvals.report()), /not locked/)
})

rule('devices that wait are told of once and listed, until they are approved', () => {
  const agent = agentOf(boss, LOCKED, acme.manifest(), ...everybody)
  agent.approvals.tick()
  agent.approvals.tick()
  const told = agent.logged.filter(({ event }) => event === 'device.waits-for-approval')
  assert.equal(told.map(({ fields }) => fields['name']).toSorted(), ['laptop', 'phone'])
  assert.equal(
    agent.approvals.report().waiting.map(({ name }) => name),
    ['laptop', 'phone'],
  )
  agent.approvals.decide('laptop', 'approved')
  agent.approvals.decide(phone.id, 'denied')
  assert.equal(agent.names().toSorted(), ['boss', 'laptop'])
  const [left] = agent.approvals.report().waiting
  assert.equal([left?.name, left?.denied], ['phone', true])
  assert.match(lockText(agent.approvals.report()), /phone .* denied/)
  agent.approvals.decide('phone', 'approved')
  agent.approvals.decide('laptop', 'denied')
  assert.equal(agent.names().toSorted(), ['boss', 'phone'])
})

rule('a registry that puts its own WireGuard key in shows another fingerprint', () => {
  const forged = acme.certificate(laptop, { wireguardKey: phone.wireguard.publicKey })
  const agent = agentOf(boss, LOCKED, acme.manifest(), forged)
  const shown = agent.approvals.report().waiting.find(({ name }) => name === 'laptop')
  const own = fingerprintOfBoth(laptop.id, laptop.wireguard.publicKey)
  assert.is.not(shown?.fingerprint, own)
  assert.match(
    refusalOf(() => agent.approvals.decide(own, 'approved')),
    /no device/,
  )
})

rule('two devices of one name are told apart by their fingerprints alone', () => {
  const twin = acme.certificate(phone, { name: 'laptop' })
  const agent = agentOf(boss, LOCKED, acme.manifest(), acme.certificate(laptop), twin)
  assert.match(
    refusalOf(() => agent.approvals.decide('laptop', 'approved')),
    /several devices/,
  )
  agent.approvals.decide(fingerprintOfBoth(phone.id, phone.wireguard.publicKey), 'approved')
  assert.is(openEnvelope(agent.published.at(-1) ?? new Uint8Array()).kind, 'approval')
})

rule('what counts from before the lock is listed with its end', () => {
  const since = { ...lock, since: seconds(NOON - 30) }
  const agent = agentOf(
    boss,
    acme.issuerCertificate({ notBefore: seconds(NOON - 3600), lock: since }),
    acme.manifest(),
    acme.certificate(laptop),
  )
  const [waiting] = agent.approvals.report().waiting
  assert.ok(waiting?.countsUntil)
})

rule.run()
