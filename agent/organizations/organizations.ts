/** Organizations: the further ones of an agent, each a process of its own, so that none can touch another's keys, tunnel
 *  and names. */
import { existsSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { prefixAddress } from '../../protocol/address.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { Log } from '../../protocol/log.ts'
import {
  LABEL,
  type OrganizationChange,
  type OrganizationChanged,
  type OrganizationControls,
  type OrganizationReport,
} from '../control/organization-report.ts'
import { ControlError } from '../control/reports.ts'
import { explain } from '../errors.ts'
import { parseRegistryReference } from '../registry-reference.ts'
import type { Arbiter } from './arbiter.ts'
import { FIRST } from './claims.ts'
import { keptKeys, requireOwn } from './kept-keys.ts'
import { type Kept, writeKeptList } from './kept-list.ts'
import { PacedLatest } from './paced-latest.ts'
import {
  type FirstPlace,
  folderOf,
  freeLabel,
  freeSlot,
  PLACE_LIMITS,
  type Place,
  placeOf,
} from './place.ts'
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

interface Misplaced {
  readonly kept: Kept
  readonly reason: string
}

export class Organizations implements OrganizationControls, AsyncDisposable {
  readonly #options: OrganizationsOptions
  readonly #further = new Map<string, Further>()
  /** Those that have no place on this host as nexd was started now. */
  readonly #misplaced = new Map<string, Misplaced>()
  #changing: Promise<unknown> = Promise.resolve()
  #isEnded = false

  /** Starts those that are kept. */
  constructor(options: OrganizationsOptions) {
    this.#options = options
    for (const kept of options.kept) this.#startKept(kept)
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
      ...[...this.#misplaced.values()].map(({ kept: { label, registry }, reason }) => ({
        ...{ label, registry, reason, interface: '', socket: '' },
        ...{ state: 'failed' as const, addresses: [], refused: [], isRefused: false },
      })),
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
    const known = this.#kept()
    const taken = [FIRST, ...known.map((each) => each.label)]
    const label = wanted ?? freeLabel(reference.registry, taken)
    const folder = folderOf(this.#options.place, label)
    const keys = taken.includes(label) ? undefined : await keptKeys(folder)
    this.#requireNew(label, reference.organization ?? keys?.organization)
    if (keys !== undefined) requireOwn(keys, reference, folder, label)
    const slot = freeSlot(known.map((each) => each.slot))
    const place = checked(() => placeOf(this.#options.place, label, slot))
    await mkdir(place.folder, { recursive: true, mode: 0o700 })
    const kept = { label, registry, slot, allowPublicRoutes }
    await this.#keep([...known, kept])
    this.#start(kept, place, registrationKey)
    return { label, folder: place.folder }
  }

  #requireNew(label: string, organization: string | undefined): void {
    if (label === FIRST || this.#kept().some((each) => each.label === label))
      throw new ControlError(409, `label "${label}" is taken (choose another with --label)`)
    const { organizations } = PLACE_LIMITS
    if (this.#kept().length >= organizations)
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
    const folder = folderOf(this.#options.place, label)
    const isKept = this.#kept().some((each) => each.label === label)
    const isLeft = forget && LABEL.safeParse(label).success && existsSync(folder)
    if (!isKept && !isLeft)
      throw new ControlError(
        404,
        `this device is in no organization "${label}" (nexctl organization list --local shows them)`,
      )
    if (isKept) await this.#takeOut(label)
    if (forget) await rm(folder, { recursive: true, force: true })
    this.#options.log('info', 'organization.removed', { organization: label, forgotten: forget })
    return { label, folder }
  }

  async #takeOut(label: string): Promise<void> {
    await this.#keep(this.#kept().filter((each) => each.label !== label))
    await this.#further.get(label)?.process[Symbol.asyncDispose]()
    this.#further.delete(label)
    this.#misplaced.delete(label)
    this.#options.arbiter.close(label)
  }

  /** What can't be started keeps nothing else from it. */
  #startKept(kept: Kept): void {
    const { place: first, log } = this.#options
    const { label, slot } = kept
    let place: Place
    try {
      place = placeOf(first, label, slot)
    } catch (error) {
      const reason = explain(error)
      this.#misplaced.set(label, { kept, reason })
      log('error', 'organization.failed', { organization: label, reason })
      return
    }
    this.#start(kept, place)
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
    return [...this.#further.values(), ...this.#misplaced.values()].map(({ kept }) => kept)
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
