/** Organizations: the further ones of an agent, each a process of its own, so that none can touch another's keys, tunnel
 *  and names. */
import { existsSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { prefixAddress } from '../../protocol/address.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { Log } from '../../protocol/log.ts'
import type {
  OrganizationChange,
  OrganizationChanged,
  OrganizationControls,
  OrganizationReport,
} from '../control/organization-report.ts'
import { ControlError } from '../control/reports.ts'
import { explain } from '../errors.ts'
import { parseRegistryReference } from '../registry-reference.ts'
import type { Arbiter } from './arbiter.ts'
import { FIRST } from './claims.ts'
import { type Kept, writeKeptList } from './kept-list.ts'
import { PacedLatest } from './paced-latest.ts'
import { type FirstPlace, freeLabel, freeSlot, PLACE_LIMITS, type Place, placeOf } from './place.ts'
import { shareTexts } from './share.ts'
import { type Launch, Supervised } from './supervised.ts'
import type { Wants } from './wants.ts'

/** Milliseconds between two of one organization’s wants that are weighed. */
const WANTS_MS = 250

export interface OrganizationsOptions {
  readonly place: FirstPlace
  readonly arbiter: Arbiter
  readonly keptFile: string
  readonly kept: readonly Kept[]
  /** How one is started. @param registry absent where it is in already */
  launch(
    label: string,
    place: Place,
    joining: { readonly registry?: string; readonly registrationKey?: string },
  ): Launch
  /** Of the first organization. */
  first(): Omit<OrganizationReport, 'label' | 'refused' | 'isRefused'>
  /** Aborted when nexd is to end. */
  readonly stop: AbortSignal
  readonly clock: Clock
  readonly log: Log
}

interface Further {
  readonly kept: Kept
  readonly place: Place
  readonly process: Supervised
}

export class Organizations implements OrganizationControls, AsyncDisposable {
  readonly #options: OrganizationsOptions
  readonly #further = new Map<string, Further>()
  #changing: Promise<unknown> = Promise.resolve()
  #isEnded = false

  /** Starts those that are kept. */
  constructor(options: OrganizationsOptions) {
    this.#options = options
    for (const kept of options.kept)
      this.#start(kept, placeOf(options.place, kept.label, kept.slot))
  }

  list(): readonly OrganizationReport[] {
    const { arbiter, first } = this.#options
    return [
      { label: FIRST, ...first(), ...this.#refusals(FIRST) },
      ...[...this.#further.values()].map(({ kept, place, process }): OrganizationReport => {
        const wants = arbiter.wantsOf(kept.label)
        return {
          label: kept.label,
          ...(wants && { organization: { id: wants.organization, name: wants.name } }),
          registry: kept.registry,
          ...process.standing,
          addresses: [...this.#addresses(kept.label)],
          interface: place.interfaceName,
          socket: place.socket,
          ...this.#refusals(kept.label),
        }
      }),
    ]
  }

  /** One after the other. */
  change(change: OrganizationChange): Promise<OrganizationChanged> {
    const done = this.#changing.then(() =>
      change.action === 'add' ? this.#add(change) : this.#remove(change),
    )
    this.#changing = done.catch(() => undefined)
    return done
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnded = true
    await this.#changing
    await Promise.all(
      [...this.#further.values()].map(({ process }) => process[Symbol.asyncDispose]()),
    )
    await this.#options.arbiter.settled()
  }

  async #add({
    registry,
    label: wanted,
    registrationKey,
    allowPublicRoutes = false,
  }: OrganizationChange & { readonly action: 'add' }): Promise<OrganizationChanged> {
    if (this.#isEnded || this.#options.stop.aborted) throw new ControlError(409, 'nexd is stopping')
    const reference = checked(() => parseRegistryReference(registry))
    const taken = [FIRST, ...this.#further.keys()]
    const label = wanted ?? freeLabel(reference.registry, taken)
    this.#requireNew(label, reference.organization)
    const slot = freeSlot([...this.#further.values()].map(({ kept }) => kept.slot))
    const place = checked(() => placeOf(this.#options.place, label, slot))
    await mkdir(place.folder, { recursive: true, mode: 0o700 })
    const kept = { label, registry, slot, allowPublicRoutes }
    await this.#keep([...this.#kept(), kept])
    this.#start(kept, place, registrationKey)
    return { label, folder: place.folder }
  }

  #requireNew(label: string, organization: string | undefined): void {
    if (label === FIRST || this.#further.has(label))
      throw new ControlError(409, `label "${label}" is taken (choose another with --label)`)
    const { organizations } = PLACE_LIMITS
    if (this.#further.size >= organizations)
      throw new ControlError(
        409,
        `this device is in ${organizations} further organizations, and in no more at once (nexctl organization remove)`,
      )
    const known = this.list().find((each) => each.organization?.id === organization)
    if (organization !== undefined && known !== undefined)
      throw new ControlError(
        409,
        `this device is in ${known.organization?.name} already, as "${known.label}"`,
      )
  }

  async #remove({
    label,
    forget,
  }: OrganizationChange & { readonly action: 'remove' }): Promise<OrganizationChanged> {
    if (label === FIRST)
      throw new ControlError(
        409,
        'the first organization is that of nexd up itself (stop nexd, and start it with another --state-dir)',
      )
    const further = this.#further.get(label)
    if (further === undefined)
      throw new ControlError(
        404,
        `this device is in no organization "${label}" (nexctl organization list --local shows them)`,
      )
    const { folder } = further.place
    await this.#keep(this.#kept().filter((each) => each.label !== label))
    await further.process[Symbol.asyncDispose]()
    this.#further.delete(label)
    this.#options.arbiter.close(label)
    if (forget) await rm(folder, { recursive: true, force: true })
    this.#options.log('info', 'organization.removed', { organization: label, forgotten: forget })
    return { label, folder }
  }

  #start(kept: Kept, place: Place, registrationKey?: string): void {
    const { arbiter, launch, stop, clock, log } = this.#options
    const { label, registry } = kept
    const isIn = (): boolean => existsSync(join(place.folder, 'join.json'))
    const wants = new PacedLatest<Wants>(WANTS_MS, clock, (said) => arbiter.said(label, said))
    const process = new Supervised({
      label,
      launch: () =>
        launch(
          label,
          place,
          isIn() ? {} : { registry, ...(registrationKey && { registrationKey }) },
        ),
      isKept: isIn,
      onMessage: (said) => {
        if (said.kind === 'hello') arbiter.restarted(label)
        else if (said.kind === 'wants') wants.say(said.wants)
      },
      ...{ stop, clock, log },
    })
    this.#further.set(label, { kept, place, process })
    const { listenPort } = place
    arbiter.open(label, {
      ports: [listenPort, listenPort + 1],
      mayBePublic: kept.allowPublicRoutes,
      tell: (share) => process.tell({ kind: 'share', share }),
    })
  }

  #kept(): readonly Kept[] {
    return [...this.#further.values()].map(({ kept }) => kept)
  }

  async #keep(kept: readonly Kept[]): Promise<void> {
    await writeKeptList(this.#options.keptFile, kept)
  }

  #addresses(label: string): readonly string[] {
    const { arbiter } = this.#options
    const refused = new Set(this.#isRefused(label) ? [4, 6] : this.#isSixAlone(label) ? [4] : [])
    return (arbiter.wantsOf(label)?.addresses ?? [])
      .filter((prefix) => !refused.has(prefix.includes(':') ? 6 : 4))
      .map(prefixAddress)
  }

  #refusals(label: string): Pick<OrganizationReport, 'refused' | 'isRefused'> {
    const refused = [...shareTexts(this.#options.arbiter.shareOf(label))]
    return { refused, isRefused: this.#isRefused(label) }
  }

  #isRefused(label: string): boolean {
    return this.#refusedRanges(label).some((value) => value.includes(':'))
  }

  #isSixAlone(label: string): boolean {
    return this.#refusedRanges(label).length > 0
  }

  #refusedRanges(label: string): readonly string[] {
    const refused = this.#options.arbiter.shareOf(label)?.refused ?? []
    return refused.flatMap(({ kind, value }) => (kind === 'range' ? [value] : []))
  }
}

function checked<T>(act: () => T): T {
  try {
    return act()
  } catch (error) {
    throw new ControlError(400, explain(error))
  }
}
