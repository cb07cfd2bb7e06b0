/** The registry's own belief, an organization at a time: what it issued, what devices said. */
import { fromBase64, toBase64 } from '../../crypto/bytes.ts'
import { standingOf } from '../../protocol/belief.ts'
import type { Clock } from '../../protocol/clock.ts'
import { type Envelope, type EnvelopeOf, openEnvelope } from '../../protocol/envelope.ts'
import type { DeviceId, IssuerKeyPair, OrganizationId } from '../../protocol/keys.ts'
import type { Log } from '../../protocol/log.ts'
import { StatementPace } from '../../protocol/pace.ts'
import {
  apply,
  applyAll,
  emptyState,
  type OrganizationState,
  prune,
  type Verdict,
} from '../../protocol/state.ts'
import { syncable } from '../../protocol/sync.ts'
import { catchUp } from '../catch-up.ts'
import { STATEMENT, statementId } from '../device-record.ts'
import { eachOrganization } from '../each-organization.ts'
import { HEAD } from '../head.ts'
import type { Issued, Issuing } from '../issuing.ts'
import { keepApprovals } from '../lock.ts'
import type { Database } from '../store/database.ts'

/** Milliseconds that what devices said waits to be stored, so that the newest is written once. */
const STORE_MS = 2000
/** Statements in one commit: each may have ENVELOPE_BYTES, and etcd takes 1.5 MiB. */
const STORED_AT_ONCE = 250
/** Milliseconds between looks at what has ended. */
const PRUNE_MS = 600_000
/** Milliseconds for which what is worth sending is not computed again while nothing changes. */
const SYNCABLE_MS = 5000

export interface OrganizationsParts {
  readonly database: Database
  readonly issuing: Issuing
  readonly clock: Clock
  readonly log: Log
}

/** What was newly believed, and who said so first: a connection's id, or undefined: this registry. */
export interface News {
  readonly organization: OrganizationId
  readonly envelopes: readonly Envelope[]
  readonly from: string | undefined
}

interface Held {
  state: OrganizationState
  issuer: IssuerKeyPair
  syncable: ReadonlyMap<string, Envelope> | undefined
  computedMs: number
}

export class Organizations {
  readonly #parts: OrganizationsParts
  readonly #held = new Map<OrganizationId, Held>()
  readonly #listeners: ((news: News) => void)[] = []
  /** Statements to be stored, by record id. */
  readonly #unstored = new Map<string, Envelope>()
  /** Approvals to be stored, by id. */
  readonly #unkept = new Map<string, EnvelopeOf<'approval'>>()
  readonly #timers: { cancel(): void }[] = []
  readonly #pace = new StatementPace()
  /** Issued envelopes are taken in one after another, so that a manifest never overtakes its issuer. */
  #taking: Promise<void> = Promise.resolve()

  constructor(parts: OrganizationsParts) {
    this.#parts = parts
    this.#timers.push(
      parts.issuing.onIssued((issued) => {
        this.#taking = this.#taking
          .then(() => this.#take(issued))
          .catch((error) => this.#lost(error))
        return this.#taking
      }),
      parts.clock.every(STORE_MS, () => void this.#store()),
      parts.clock.every(PRUNE_MS, () => this.#prune()),
    )
  }

  /** Everything the store knows. An organization that cannot be loaded is not served; the others are. */
  async load(): Promise<void> {
    await eachOrganization(this.#parts, 'load', async (organization) => {
      if (!(await this.#isHalfPurged(organization))) await this.#load(organization)
    })
  }

  /** A purge that was cut off has taken its keys (organization-purge.ts): nobody needs to hear of it any more. */
  async #isHalfPurged(organization: OrganizationId): Promise<boolean> {
    const { database, issuing } = this.#parts
    const head = await database.get(HEAD, organization)
    if (head?.deletedAt === undefined) return false
    return (await issuing.keys.issuer(organization, head.issuer.key)) === undefined
  }

  async #load(organization: OrganizationId): Promise<Held> {
    const { database, issuing, clock } = this.#parts
    const issuer = await issuing.issuerKey(organization)
    const issued = this.#opened(organization, await issuing.envelopes(organization))
    const said: { readonly id: string; readonly envelope: Envelope }[] = []
    for await (const { id, value } of database.list(STATEMENT, { under: `${organization}/` })) {
      const opened = this.#opened(organization, [fromBase64(value.envelope)])
      said.push(...opened.map((envelope) => ({ id, envelope })))
    }
    const all = [...issued, ...said.map(({ envelope }) => envelope)]
    const { state, refused } = applyAll(emptyState(organization), all, clock.now())
    const outlived = said.filter(({ envelope }) => refused.has(envelope)).map(({ id }) => id)
    await this.#forget(outlived)
    const held: Held = { state, issuer, syncable: undefined, computedMs: 0 }
    this.#held.set(organization, held)
    return held
  }

  /** What cannot be opened says nothing to anybody; the rest of the organization does not wait for it. */
  #opened(organization: OrganizationId, envelopes: readonly Uint8Array[]): readonly Envelope[] {
    return envelopes.flatMap((bytes) => {
      try {
        return [openEnvelope(bytes)]
      } catch (error) {
        this.#parts.log('error', 'rendezvous.envelope-unreadable', { organization, error })
        return []
      }
    })
  }

  async #forget(statements: readonly string[]): Promise<void> {
    if (statements.length === 0) return
    await this.#parts.database.transact('statements', async (transaction) => {
      for (const id of statements) transaction.delete(STATEMENT, id)
    })
  }

  async #take({ organization, envelopes }: Issued): Promise<void> {
    const known = this.#held.get(organization)
    const held = known ?? (await this.#load(organization))
    held.issuer = await this.#parts.issuing.issuerKey(organization)
    const opened = this.#opened(organization, envelopes)
    // What is known already was told when it came: by this registry, or by another one of the store.
    const news = opened.filter((each) => this.#apply(held, each).changed || known === undefined)
    if (news.some(({ kind }) => kind === 'issuer-certificate')) this.#keepHeard(held.state)
    if (news.length > 0) this.#tell({ organization, envelopes: news, from: undefined })
  }

  /** Another lock may make words count that were said before it. */
  #keepHeard(state: OrganizationState): void {
    const now = this.#parts.clock.now()
    for (const said of state.approvals.values()) {
      if (standingOf(state, said, now) === undefined) this.#unkept.set(said.id, said)
    }
  }

  #lost(error: unknown): void {
    this.#parts.log('error', 'rendezvous.issued-not-taken', { error })
  }

  has(organization: OrganizationId): boolean {
    return this.#held.has(organization)
  }

  /** Undefined of an organization that this registry does not have. */
  state(organization: OrganizationId): OrganizationState | undefined {
    return this.#held.get(organization)?.state
  }

  issuer(organization: OrganizationId): IssuerKeyPair | undefined {
    return this.#held.get(organization)?.issuer
  }

  /** What is worth sending now; see protocol/sync.ts. */
  syncable(organization: OrganizationId): ReadonlyMap<string, Envelope> {
    const held = this.#held.get(organization)
    if (held === undefined) return new Map()
    const now = this.#parts.clock.monotonicMs()
    if (held.syncable === undefined || now - held.computedMs > SYNCABLE_MS) {
      held.syncable = syncable(held.state, this.#parts.clock.now())
      held.computedMs = now
    }
    return held.syncable
  }

  /** What a hello taught. */
  learn(state: OrganizationState): void {
    const held = this.#held.get(state.organization)
    if (held === undefined) return
    const known = held.state.manifests
    const now = this.#parts.clock.now()
    for (const [slot, manifest] of state.manifests) {
      // A greeting may hold anything: what no issuer of ours signed is held, and says nothing.
      const isBelieved = standingOf(state, manifest, now) === undefined
      if (!known.has(slot) && isBelieved) this.#catchUp(manifest)
    }
    held.state = state
    held.syncable = undefined
  }

  /** A device's envelope; true when it is believed and new. */
  receive(organization: OrganizationId, envelope: Envelope, from: string): boolean {
    const held = this.#held.get(organization)
    if (held === undefined) return false
    const nowMs = this.#parts.clock.monotonicMs()
    const verdict = this.#pace.hear(envelope, nowMs, () => this.#apply(held, envelope))
    if (verdict?.ok !== true) return false
    this.#catchUp(envelope)
    if (envelope.kind === 'endpoint-update' || envelope.kind === 'route-advertisement') {
      const subject = envelope.kind === 'route-advertisement' ? envelope.body.prefix : 'endpoints'
      const id = statementId(organization, envelope.signer as DeviceId, subject)
      this.#unstored.set(id, envelope)
    }
    if (envelope.kind === 'approval') this.#unkept.set(envelope.id, envelope)
    this.#tell({ organization, envelopes: [envelope], from })
    return true
  }

  #apply(held: Held, envelope: Envelope): Verdict {
    const verdict = apply(held.state, envelope, this.#parts.clock.now())
    if (verdict.changed) {
      held.state = verdict.state
      held.syncable = undefined
    }
    return verdict
  }

  /** A manifest that a device had before us: the store was restored from an older backup. */
  #catchUp(manifest: Envelope): void {
    if (manifest.kind !== 'manifest') return
    const { issuing, log } = this.#parts
    const failed = (error: unknown): void => log('error', 'registry.behind', { error })
    catchUp(issuing, manifest, log).catch(failed)
  }

  onNews(listener: (news: News) => void): void {
    this.#listeners.push(listener)
  }

  #tell(news: News): void {
    for (const listener of this.#listeners) listener(news)
  }

  /** Best effort: devices say it again. */
  async #store(): Promise<void> {
    const [statements, approvals] = [[...this.#unstored], [...this.#unkept.values()]]
    this.#unstored.clear()
    this.#unkept.clear()
    if (statements.length + approvals.length === 0) return
    try {
      await keepApprovals(this.#parts.database, approvals)
      while (statements.length > 0) {
        const some = statements.splice(0, STORED_AT_ONCE)
        await this.#parts.database.transact('statements', async (transaction) => {
          for (const [id, { bytes }] of some) {
            transaction.put(STATEMENT, id, { envelope: toBase64(bytes) })
          }
        })
      }
    } catch (error) {
      this.#parts.log('warn', 'rendezvous.statements-not-stored', { error })
    }
  }

  #prune(): void {
    for (const held of this.#held.values()) {
      held.state = prune(held.state, this.#parts.clock.now())
      held.syncable = undefined
    }
  }

  /** Resolves when what was said is stored. */
  async stop(): Promise<void> {
    for (const timer of this.#timers) timer.cancel()
    await this.#taking
    await this.#store()
  }
}
