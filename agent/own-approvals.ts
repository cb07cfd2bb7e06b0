/** Own approvals: what this device says of others where it is an approver (SPEC §4.3), and who waits. */
import { equal, toBase64 } from '../crypto/bytes.ts'
import { encodeApproval } from '../protocol/approval.ts'
import { deviceStanding } from '../protocol/belief.ts'
import type { Clock } from '../protocol/clock.ts'
import { type EnvelopeOf, openEnvelope, sealEnvelope } from '../protocol/envelope.ts'
import { fingerprintOfBoth } from '../protocol/fingerprint.ts'
import type { Lock } from '../protocol/issuer-certificate.ts'
import { type DeviceId, deviceIdOf } from '../protocol/keys.ts'
import { approvalOf, approvalSlot, approversOf, lockOf } from '../protocol/lock.ts'
import type { Log } from '../protocol/log.ts'
import type { MembershipCertificate } from '../protocol/membership-certificate.ts'
import type { LockControls, LockDecided, LockReport } from './control/lock-report.ts'
import { ControlError } from './control/reports.ts'
import type { Knowledge } from './knowledge.ts'
import type { StateDirectory } from './state-directory.ts'

/** Devices that are told of once; of more at once only so many are. */
const REMEMBERED = 1024

export interface OwnApprovalsParts {
  readonly knowledge: Knowledge
  readonly directory: Pick<StateDirectory, 'deviceKey' | 'wireguardKey'>
  publish(bytes: Uint8Array): void
  readonly clock: Clock
  readonly log: Log
}

export class OwnApprovals implements LockControls {
  readonly #parts: OwnApprovalsParts
  readonly #device: DeviceId
  /** Certificates that somebody has been told of, by device and WireGuard key. */
  readonly #told = new Set<string>()

  constructor(parts: OwnApprovalsParts) {
    this.#parts = parts
    this.#device = deviceIdOf(parts.directory.deviceKey.publicKey)
  }

  /** Approves this device itself where it is an approver, and tells of devices that wait. */
  tick(): void {
    const lock = this.#lock()
    if (lock === undefined) return
    this.#approveSelf(lock)
    this.#tellOwn()
    if (!this.#isApprover(lock)) return
    for (const { body } of this.#waiting(lock)) {
      const key = `${body.device} ${toBase64(body.wireguardKey)}`
      if (this.#told.has(key) || this.#told.size >= REMEMBERED) continue
      this.#told.add(key)
      this.#parts.log('warn', 'device.waits-for-approval', {
        ...{ name: body.name, device: body.device, owner: body.owner },
        fingerprint: fingerprintOfBoth(body.device, body.wireguardKey),
        hint: `compare the fingerprint, then nexctl lock approve ${body.name} (or deny)`,
      })
    }
  }

  /** From its own keys, whatever its certificate says: what the approver is to see there as well. */
  #ownFingerprint(): string {
    return fingerprintOfBoth(this.#device, this.#parts.directory.wireguardKey.publicKey)
  }

  #tellOwn(): void {
    const { knowledge, clock, log } = this.#parts
    const standing = deviceStanding(knowledge.state(), this.#device, clock.now())
    if (standing !== 'not-approved' || this.#told.has(this.#device)) return
    this.#told.add(this.#device)
    log('warn', 'device.not-approved', {
      fingerprint: this.#ownFingerprint(),
      hint: 'have an approver compare the fingerprint and say: nexctl lock approve',
    })
  }

  report(): LockReport {
    const lock = this.#lock()
    const names = new Map([...this.#newest()].map(([device, { body }]) => [device, body.name]))
    return {
      locked: lock !== undefined,
      fingerprint: this.#ownFingerprint(),
      ...(lock !== undefined && { since: iso(lock.since) }),
      approvers: approversOf(lock).map((device) => ({
        ...{ deviceId: device, isThisDevice: device === this.#device },
        ...(names.has(device) && { name: names.get(device) }),
      })),
      waiting:
        lock === undefined ? [] : this.#waiting(lock).map(({ body }) => this.#waitingReport(body)),
    }
  }

  #waitingReport(body: MembershipCertificate): LockReport['waiting'][number] {
    const { knowledge, clock } = this.#parts
    const said = knowledge.state().approvals.get(approvalSlot(body.device, this.#device))?.body
    const counts = deviceStanding(knowledge.state(), body.device, clock.now()) === undefined
    return {
      ...described(body),
      owner: body.owner,
      ...(counts && { countsUntil: iso(body.notAfter) }),
      denied: said?.decision === 'denied' && equal(said.wireguardKey, body.wireguardKey),
    }
  }

  decide(wanted: string, decision: 'approved' | 'denied'): LockDecided {
    const lock = this.#lock()
    if (lock === undefined) {
      throw new ControlError(
        409,
        'the organization is not locked (nexctl organization root request --approver)',
      )
    }
    if (!this.#isApprover(lock)) {
      throw new ControlError(403, 'this device is no approver (nexctl lock status lists them)')
    }
    const body = this.#find(wanted)
    this.#say(body, decision)
    this.#parts.log('info', `device.${decision}`, { name: body.name, device: body.device })
    return described(body)
  }

  #find(wanted: string): MembershipCertificate {
    const found = [...this.#newest().values()].filter(({ body }) =>
      [body.name, body.device, fingerprintOfBoth(body.device, body.wireguardKey)].includes(wanted),
    )
    const [only] = found
    if (only === undefined) {
      throw new ControlError(
        404,
        `no device "${wanted}" is known here (nexctl lock status lists who waits)`,
      )
    }
    if (found.length > 1) {
      throw new ControlError(
        409,
        `several devices are called "${wanted}": name one by its fingerprint`,
      )
    }
    return only.body
  }

  #approveSelf(lock: Lock): void {
    const { directory, knowledge } = this.#parts
    const own = { device: this.#device, wireguardKey: directory.wireguardKey.publicKey }
    if (!this.#isApprover(lock)) return
    const said = knowledge.state().approvals.get(approvalSlot(this.#device, this.#device))?.body
    const isSaid = said?.decision === 'approved' && equal(said.wireguardKey, own.wireguardKey)
    if (isSaid) return
    this.#say({ ...own, deviceKey: directory.deviceKey.publicKey }, 'approved')
  }

  #say(
    about: Pick<MembershipCertificate, 'device' | 'deviceKey' | 'wireguardKey'>,
    decision: 'approved' | 'denied',
  ): void {
    const { knowledge, directory, clock, publish } = this.#parts
    const { device, deviceKey, wireguardKey } = about
    const state = knowledge.state()
    const last = state.approvals.get(approvalSlot(device, this.#device))?.body.sequence ?? 0
    const claims = encodeApproval({
      ...{ deviceKey, wireguardKey, decision },
      sequence: Math.max(clock.nowMs(), last + 1),
      issuedAt: clock.now(),
    })
    const bytes = sealEnvelope('approval', state.organization, claims, directory.deviceKey)
    knowledge.learn(openEnvelope(bytes))
    publish(bytes)
  }

  #lock(): Lock | undefined {
    return lockOf(this.#parts.knowledge.state(), this.#parts.clock.now())
  }

  #isApprover(lock: Lock): boolean {
    return approversOf(lock).includes(this.#device)
  }

  /** Of each device the newest certificate that would count, but for an approval. */
  #newest(): ReadonlyMap<DeviceId, EnvelopeOf<'membership-certificate'>> {
    const { knowledge, clock } = this.#parts
    const state = knowledge.state()
    const newest = new Map<DeviceId, EnvelopeOf<'membership-certificate'>>()
    for (const each of state.memberships.values()) {
      const { device, notBefore } = each.body
      const standing = deviceStanding(state, device, clock.now())
      if (standing !== undefined && standing !== 'not-approved') continue
      const known = newest.get(device)
      if (known === undefined || known.body.notBefore < notBefore) newest.set(device, each)
    }
    return newest
  }

  #waiting(lock: Lock): readonly EnvelopeOf<'membership-certificate'>[] {
    const state = this.#parts.knowledge.state()
    return [...this.#newest().values()]
      .filter(({ body }) => approvalOf(state, lock, body) === undefined)
      .toSorted((a, b) => (a.body.name < b.body.name ? -1 : 1))
  }
}

function described({ name, device, wireguardKey }: MembershipCertificate): LockDecided {
  return {
    ...{ name, deviceId: device },
    fingerprint: fingerprintOfBoth(device, wireguardKey),
    wireguardKey: toBase64(wireguardKey),
  }
}

function iso(moment: number): string {
  return new Date(moment * 1000).toISOString()
}
