/** Why: finds the device that is asked about, asks it for its side, and gathers the facts for a verdict. */
import { formatEndpoint, prefixAddress } from '../../protocol/address.ts'
import { deviceStanding, isIssuerTrusted, memberOf } from '../../protocol/belief.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import type { MembershipCertificate } from '../../protocol/membership-certificate.ts'
import { ControlError } from '../control/reports.ts'
import type { Renewal } from '../renewal.ts'
import type { UpdateFacts, WhyFacts } from './facts.ts'
import { nearNames } from './near-names.ts'
import { ownEvidence, type WhySource } from './own-evidence.ts'
import { policyFacts } from './policy-facts.ts'
import { reportOf, type WhyReport } from './report.ts'
import { verdictOf } from './verdict.ts'

/** Certificates remembered after they have ended, when belief forgets them; the oldest go first. */
const REMEMBERED = 4096

export class Why {
  readonly #daemon: WhySource
  readonly #renewal: Pick<Renewal, 'status'>
  readonly #seen = new Map<DeviceId, MembershipCertificate>()

  constructor(daemon: WhySource, renewal: Pick<Renewal, 'status'>) {
    this.#daemon = daemon
    this.#renewal = renewal
    daemon.options.knowledge.onChange(() => this.#remember())
    this.#remember()
  }

  /** Takes as long as the peer may take to answer, some seconds at most. Throws ControlError when `text` is
   *  no device that was ever known here, or is this one. */
  async report(text: string): Promise<WhyReport> {
    const certificate = this.#find(text)
    const facts = await this.#facts(certificate)
    return reportOf(facts, verdictOf(facts))
  }

  async #facts(certificate: MembershipCertificate): Promise<WhyFacts> {
    const daemon = this.#daemon
    const { knowledge, clock } = daemon.options
    const { device, name } = certificate
    const { mesh } = daemon.parts
    // The peer first: meanwhile this side may have learned why it does not answer.
    const reply = (await mesh?.why(device)) ?? { kind: 'not-connected', refusal: undefined }
    const ours = await ownEvidence(daemon, device)
    const [state, now] = [knowledge.state(), clock.now()]
    const connections = mesh?.connections() ?? []
    const own = memberOf(state, daemon.device, now)
    return {
      now,
      self: { name: own?.certificate.name ?? daemon.join.name, device: daemon.device },
      peer: { name, device },
      ours,
      reply,
      ownStanding: deviceStanding(state, daemon.device, now),
      standing: deviceStanding(state, device, now),
      certificate: memberOf(state, device, now)?.certificate ?? certificate,
      update: this.#update(device),
      policy: policyFacts(daemon.plan, daemon.enforcement.status(), device),
      registry: {
        connected: connections.some((each) => each.device === 'registry'),
        reachable: this.#renewal.status().reachable,
      },
      connections: connections.length,
    }
  }

  #update(device: DeviceId): UpdateFacts | undefined {
    const { knowledge, clock } = this.#daemon.options
    const update = knowledge.state().endpoints.get(device)?.body
    return (
      update && {
        age: Math.max(0, clock.now() - update.issuedAt),
        natMapping: update.natMapping,
        candidates: update.candidates.map((each) => `${each.kind} ${formatEndpoint(each)}`),
        system: update.system,
      }
    )
  }

  /** Certificates of listed issuers, whatever became of them. */
  #remember(): void {
    const { knowledge, clock } = this.#daemon.options
    const [state, now] = [knowledge.state(), clock.now()]
    for (const { body, signer } of state.memberships.values()) {
      const known = this.#seen.get(body.device)
      if (known !== undefined && known.notBefore >= body.notBefore) continue
      if (!isIssuerTrusted(state, signer, now)) continue
      this.#seen.delete(body.device)
      const oldest = this.#seen.keys().next()
      if (this.#seen.size >= REMEMBERED && oldest.done !== true) this.#seen.delete(oldest.value)
      this.#seen.set(body.device, body)
    }
  }

  /** By name, device id or address: a member before one that was, the newest certificate first. */
  #find(text: string): MembershipCertificate {
    const { knowledge, clock } = this.#daemon.options
    const isMember = ({ device }: MembershipCertificate): number =>
      Number(memberOf(knowledge.state(), device, clock.now()) !== undefined)
    const [found] = [...this.#seen.values()]
      .filter(
        ({ name, device, addresses }) =>
          text === name ||
          text === device ||
          addresses.some((each) => prefixAddress(each) === text),
      )
      .toSorted((a, b) => isMember(b) - isMember(a) || b.notBefore - a.notBefore)
    if (found === undefined) throw this.#unknown(text)
    if (found.device === this.#daemon.device) {
      throw new ControlError(409, `${found.name} is this device itself (name another)`)
    }
    return found
  }

  #unknown(text: string): ControlError {
    const others = [...this.#seen.values()].filter(({ device }) => device !== this.#daemon.device)
    const near = nearNames(
      text,
      others.map(({ name }) => name),
    )
    const hint =
      near.length > 0 ? `did you mean ${near.join(', ')}?` : 'nexctl peers list shows the members'
    return new ControlError(
      404,
      `no device "${text}" is or was a member, as far as is known here (${hint})`,
    )
  }
}
