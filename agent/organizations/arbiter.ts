/** Arbiter: says which organization of this host may have what, and remembers it, for who had it first keeps it. */
import { readFile, rename, writeFile } from 'node:fs/promises'
import { parsePrefix } from '../../protocol/address.ts'
import type { Log } from '../../protocol/log.ts'
import { explain } from '../errors.ts'
import { recordsOf, textField, wordField } from '../json-fields.ts'
import { type Claim, FIRST, type Held, type Refused, shareOut } from './claims.ts'
import { Seat } from './neighbours.ts'
import type { Share } from './share.ts'
import type { Wants } from './wants.ts'

/** One that takes part. */
export interface Taking {
  readonly ports: readonly number[]
  /** Its operator lets it have addresses and names of the internet. */
  readonly mayBePublic?: boolean
  tell(share: Share): void
}

interface Party extends Taking {
  wants: Wants | undefined
  /** What it was told last, as JSON. */
  told: string
}

export interface ArbiterOptions {
  /** Where it is remembered who has what. */
  readonly file: string
  /** UDP ports of the first organization. */
  readonly ports: readonly number[]
  /** Labels of those that will take part: what they had stays theirs until they have said what they want. */
  readonly others: readonly string[]
  /** False where tunnels end inside their processes: then nothing of one is in another's way. */
  readonly isHostShared: boolean
  readonly log: Log
}

/** Of a party: nothing is known of it, and it knows nothing. */
const NEW = { wants: undefined, told: '' } as const

/** Never throws: what can't be read is forgotten, and said. */
export async function openArbiter(options: ArbiterOptions): Promise<Arbiter> {
  const isNeeded = options.others.length > 0 && options.isHostShared
  return new Arbiter(options, isNeeded ? await readHeld(options) : [])
}

export class Arbiter {
  /** The first organization's. */
  readonly seat: Seat
  readonly #options: ArbiterOptions
  readonly #parties = new Map<string, Party>()
  #held: readonly Held[]
  #refused: ReadonlyMap<string, readonly Refused[]> = new Map()
  #writing: Promise<void> = Promise.resolve()
  #written = ''

  constructor(options: ArbiterOptions, held: readonly Held[]) {
    this.#options = options
    this.#held = held
    this.#written = textOf(held)
    this.seat = new Seat({
      isFirst: true,
      share: undefined,
      isTelling: options.others.length > 0 && options.isHostShared,
      say: (wants) => this.said(FIRST, wants),
    })
    this.#parties.set(FIRST, {
      ports: options.ports,
      tell: (share) => this.seat.become(share),
      ...NEW,
    })
    for (const label of options.others) this.open(label, { ports: [], tell: () => undefined })
  }

  /** Another organization takes part. It is told when it has said what it wants, and whenever that changes. */
  open(label: string, taking: Taking): void {
    this.#parties.set(label, { ...taking, ...NEW })
    if (!this.#options.isHostShared) return
    this.seat.begin()
    this.#decide()
  }

  /** What it was told is not known to it any more. */
  restarted(label: string): void {
    const party = this.#parties.get(label)
    if (party !== undefined) party.told = ''
  }

  /** What it had is free. */
  close(label: string): void {
    this.#parties.delete(label)
    this.#decide()
    const first = this.#parties.get(FIRST)
    if (this.#parties.size > 1 || first === undefined) return
    Object.assign(first, NEW)
    this.#held = []
    this.#refused = new Map()
    this.#keep()
    this.seat.end()
  }

  /** @param wants undefined: nothing is known of the organization now, and it keeps what it has */
  said(label: string, wants: Wants | undefined): void {
    const party = this.#parties.get(label)
    if (party === undefined || wants === undefined) return
    party.wants = wants
    this.#decide()
  }

  wantsOf(label: string): Wants | undefined {
    return this.#parties.get(label)?.wants
  }

  /** Of an organization that has said what it wants. */
  shareOf(label: string): Share | undefined {
    const party = this.#parties.get(label)
    const isTold = this.#options.isHostShared && party?.wants !== undefined
    return isTold ? this.#share(label) : undefined
  }

  /** Resolves when what is held is on disk. */
  settled(): Promise<void> {
    return this.#writing
  }

  /** Is it known what is the first's own? Before that nobody else is given anything. */
  get #isFirstKnown(): boolean {
    const isHeld = this.#held.some(({ label }) => label === FIRST)
    return isHeld || this.#parties.get(FIRST)?.wants !== undefined
  }

  #decide(): void {
    if (!this.#options.isHostShared || !this.#isFirstKnown) return
    const wanted = new Map(
      [...this.#parties].map(([label, { wants }]): [string, readonly Claim[] | undefined] => [
        label,
        wants?.claims,
      ]),
    )
    const before = this.#refused
    const open = [...this.#parties].flatMap(([label, { mayBePublic }]) =>
      mayBePublic ? label : [],
    )
    const { held, refused } = shareOut(this.#held, wanted, new Set(open))
    this.#held = held
    this.#refused = refused
    this.#say(before)
    this.#keep()
    for (const [label, party] of this.#parties) {
      if (party.wants === undefined) continue
      const share = this.#share(label)
      const text = JSON.stringify(share)
      if (text === party.told) continue
      party.told = text
      party.tell(share)
    }
  }

  #share(label: string): Share {
    const others = [...this.#parties].filter(([each]) => each !== label)
    const known = others.flatMap(([each, { wants }]) =>
      wants === undefined ? [] : [[each, wants] as const],
    )
    const exitOf = this.#held.find((each) => each.label !== label && each.kind === 'exit')?.label
    return {
      ...(exitOf === undefined ? {} : { exitOf }),
      granted: this.#held
        .filter((each) => each.label === label)
        .map(({ kind, value }) => ({ kind, value }) as Claim),
      refused: this.#refused.get(label) ?? [],
      names: Object.fromEntries(known.map(([each, { name }]) => [each, name])),
      ids: Object.fromEntries(known.map(([each, { organization }]) => [each, organization])),
      others: this.#held.flatMap((each) =>
        each.label !== label && (each.kind === 'range' || each.kind === 'prefix')
          ? [each.value]
          : [],
      ),
      ports: others.flatMap(([, { ports }]) => ports),
    }
  }

  /** What is refused from now on. */
  #say(before: ReadonlyMap<string, readonly Refused[]>): void {
    for (const [label, refused] of this.#refused) {
      const known = new Set(before.get(label)?.map((each) => JSON.stringify(each)))
      for (const each of refused) {
        if (each.kind === 'underlay' || known.has(JSON.stringify(each))) continue
        const { kind, value, by, over } = each
        const fields = { organization: label, kind, value, over, ...(by && { heldBy: by }) }
        this.#options.log('warn', 'organization.refused', fields)
      }
    }
  }

  #keep(): void {
    const text = textOf(this.#held)
    if (text === this.#written) return
    this.#written = text
    const { file, log } = this.#options
    this.#writing = this.#writing
      .then(async () => {
        await writeFile(`${file}.new`, text, { mode: 0o600, flush: true })
        await rename(`${file}.new`, file)
      })
      .catch((error: unknown) => {
        log('error', 'organization.not-remembered', { reason: explain(error) })
      })
  }
}

/** An exit is chosen anew, and what the tunnel runs by is found out anew. */
function textOf(held: readonly Held[]): string {
  return JSON.stringify(held.filter(({ kind }) => !['exit', 'underlay', 'server'].includes(kind)))
}

async function readHeld({ file, log }: ArbiterOptions): Promise<readonly Held[]> {
  try {
    return parseHeld(JSON.parse(await readFile(file, 'utf8')))
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    const hint = 'who had a prefix first is not known any more'
    log('warn', 'organization.memory-unreadable', { file, reason: explain(error), hint })
    return []
  }
}

function parseHeld(value: unknown): readonly Held[] {
  return recordsOf(value, 'held').map((fields): Held => {
    const label = textField(fields, 'label')
    const kind = wordField(fields, 'kind', ['range', 'prefix', 'domain'] as const)
    const text = textField(fields, 'value')
    return kind === 'domain'
      ? { label, kind, value: text }
      : { label, kind, value: parsePrefix(text) }
  })
}
