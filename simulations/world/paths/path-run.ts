/** One run of the path simulation: two agents on a virtual internet, what happens to them, and how they fare. */
import { agreementKeyPairFromPrivate } from '../../../crypto/agreement.ts'
import { signingKeyPairFromSeed } from '../../../crypto/signing.ts'
import { parseIpAddress } from '../../../protocol/address.ts'
import { deviceIdOf } from '../../../protocol/keys.ts'
import { encodeStun, parseStun } from '../../../protocol/stun.ts'
import { seededRandom, VirtualClock } from '../virtual-clock.ts'
import { type Attachment, Internet, Site } from './internet.ts'
import { Meeting } from './meeting.ts'
import type { PathEvent, PathEventKind, Scenario } from './scenario.ts'
import { type Identity, type PathChange, PING_MS, VirtualHost } from './virtual-host.ts'

/** Milliseconds from one event to the next. */
export const WINDOW_MS = 25_000
/** Milliseconds that a relay is away. */
const RELAY_LOST_MS = 15_000
/** Milliseconds that an agent needs to start again. */
const RESTART_MS = 300

export interface EventResult {
  readonly kind: PathEventKind
  /** From the event to the first ping that was answered afterwards, of the slower side; Infinity: none was. */
  readonly recoveredMs: number
  /** The longest time without an answered ping between the first such one and the next event. */
  readonly longestSilenceMs: number
  /** Moves from one path to another, of the side with more of them. */
  readonly switches: number
  /** At the end: `direct 198.18.2.2:51820`, `relay`. */
  readonly paths: readonly [string, string]
  readonly changes: readonly {
    readonly host: string
    readonly atMs: number
    readonly path: string
  }[]
}

export interface PathRunResult {
  readonly scenario: Scenario
  readonly events: readonly EventResult[]
}

export async function runPaths(scenario: Scenario): Promise<PathRunResult> {
  const clock = new VirtualClock()
  const run = new PathRun(clock, scenario)
  const events: EventResult[] = []
  for (const event of scenario.events) {
    const atMs = await run.cause(event)
    await clock.advance(atMs + WINDOW_MS - clock.monotonicMs())
    events.push(run.judge(event.kind, atMs))
    await run.undo(event)
  }
  await run.stop()
  return { scenario, events }
}

class PathRun {
  readonly #clock: VirtualClock
  readonly #meeting: Meeting
  readonly #hosts: readonly VirtualHost[]

  constructor(clock: VirtualClock, scenario: Scenario) {
    const random = seededRandom(scenario.seed + 1)
    const internet = new Internet(clock, random)
    const { kinds, delaysMs, isSameSite, loss } = scenario
    this.#clock = clock
    this.#meeting = new Meeting(clock, random, loss)
    const stunSite = new Site(9, 'public', { delayMs: delaysMs[2], loss }, random)
    internet.attach(stunServer(stunSite, internet))
    const first = new Site(1, kinds[0], { delayMs: delaysMs[0], loss }, random)
    const second = isSameSite
      ? first
      : new Site(2, kinds[1], { delayMs: delaysMs[1], loss }, random)
    const identities = identitiesOf(random)
    this.#hosts = [first, second].map((site, index) => {
      const [self, peer] = index === 0 ? identities : [identities[1], identities[0]]
      return new VirtualHost({
        self,
        peer,
        site,
        address: site.isPublic ? site.address : privateAddress(site, index, 0),
        stunServer: { address: stunSite.address, port: 3478 },
        ...{ clock, random, internet, meeting: this.#meeting },
      })
    })
  }

  /** Resolves to when it happened. */
  async cause({ kind, side }: PathEvent): Promise<number> {
    const host = this.#hosts[side]
    if (host === undefined) throw new Error(`no side ${side}`)
    const atMs = this.#clock.monotonicMs()
    switch (kind) {
      case 'start':
        for (const each of this.#hosts) await each.start()
        break
      case 'renumber':
        this.#renumber(host)
        break
      case 'renumber-both':
        for (const each of this.#hosts) this.#renumber(each)
        break
      case 'move':
        this.#move(host)
        break
      case 'flush':
        host.site.flush()
        break
      case 'flush-both':
        for (const each of this.#hosts) each.site.flush()
        break
      case 'restart':
        return this.#restart([host])
      case 'restart-both':
        return this.#restart(this.#hosts)
      case 'relay-lost':
        this.#meeting.setRelays(false)
        this.#clock.after(RELAY_LOST_MS, () => this.#meeting.setRelays(true))
        break
      case 'wireguard-swallowed':
        host.isWireguardSwallowed = true
        break
    }
    return atMs
  }

  async undo({ kind, side }: PathEvent): Promise<void> {
    const host = this.#hosts[side]
    if (kind === 'wireguard-swallowed' && host !== undefined) host.isWireguardSwallowed = false
  }

  judge(kind: PathEventKind, atMs: number): EventResult {
    const seen = this.#hosts.map((host) => host.answeredMs.filter((sentMs) => sentMs >= atMs))
    const recovered = seen.map(([first = Infinity]) => first - atMs)
    const [a = 'none', b = 'none'] = this.#hosts.map(({ path }) => path)
    const changes = this.#hosts.flatMap(({ name, changes: all }) =>
      all.filter((change) => change.atMs >= atMs).map((change) => ({ host: name, ...change })),
    )
    return {
      kind,
      recoveredMs: Math.max(...recovered),
      longestSilenceMs: Math.max(...seen.map((moments) => longestGap(moments, this.#clock))),
      switches: Math.max(...this.#hosts.map(({ changes: all }) => movesSince(all, atMs))),
      paths: [a, b],
      changes,
    }
  }

  async stop(): Promise<void> {
    for (const host of this.#hosts) await host.stop()
  }

  #renumber(host: VirtualHost): void {
    host.site.renumber()
    if (host.site.isPublic) host.move(host.site.address)
    else
      for (const each of this.#hosts)
        if (each.site === host.site) this.#meeting.reconnect(each.name)
  }

  #move(host: VirtualHost): void {
    const index = this.#hosts.indexOf(host)
    const isFirst = host.address === privateAddress(host.site, index, 0)
    host.move(privateAddress(host.site, index, isFirst ? 100 : 0))
  }

  async #restart(hosts: readonly VirtualHost[]): Promise<number> {
    for (const host of hosts) await host.stop()
    await this.#clock.advance(RESTART_MS)
    const atMs = this.#clock.monotonicMs()
    for (const host of hosts) await host.start()
    return atMs
  }
}

/** A moment without any path is none. */
function movesSince(changes: readonly PathChange[], atMs: number): number {
  const paths = changes.filter(({ path }) => path !== 'connecting' && path !== 'offline')
  const moved = paths.filter((change, index) => change.path !== paths[index - 1]?.path)
  return moved.filter((change) => change.atMs >= atMs).length
}

/** What is not answered yet when the window ends does not count. */
function longestGap(moments: readonly number[], clock: VirtualClock): number {
  const endMs = clock.monotonicMs() - 2 * PING_MS - 1000
  const counted = [...moments.filter((ms) => ms < endMs), endMs]
  return Math.max(0, ...counted.slice(1).map((ms, index) => ms - (counted[index] ?? ms)))
}

function privateAddress(
  site: Site,
  index: number,
  offset: number,
): ReturnType<typeof parseIpAddress> {
  return parseIpAddress(`192.168.${site.number}.${10 + index + offset}`)
}

/** The first has the lower device key. */
function identitiesOf(random: () => number): readonly [Identity, Identity] {
  const bytes = (): Uint8Array => Uint8Array.from({ length: 32 }, () => Math.floor(random() * 256))
  const of = (name: string): Identity => ({
    name,
    device: deviceIdOf(signingKeyPairFromSeed<'device'>(bytes()).publicKey),
    keys: agreementKeyPairFromPrivate(bytes()),
  })
  return [of('a'), of('b')]
}

function stunServer(site: Site, internet: Internet): Attachment {
  const server: Attachment = {
    site,
    address: site.address,
    isSwallowed: () => false,
    receive: ({ from, to, bytes }) => {
      const { transactionId } = parseStun(bytes)
      const answer = encodeStun({ kind: 'success', transactionId, mappedAddress: from })
      internet.send(server, { from: to, to: from, bytes: answer })
    },
  }
  return server
}
