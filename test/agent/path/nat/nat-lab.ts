/** A laboratory of NATs: members behind each kind, two observers in the open, and a STUN server, with another
 *  member at its address. The parent tells all members of each other, as the mesh would. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { FamilyView } from '../../../../agent/path/nat/tracker.ts'
import type { NatView } from '../../../../agent/path/nat/watch.ts'
import { generateAgreementKeyPair, privateBytesOf } from '../../../../crypto/agreement.ts'
import { generateSigningKeyPair } from '../../../../crypto/signing.ts'
import type { Candidate } from '../../../../protocol/endpoint-update.ts'
import { deviceIdOf } from '../../../../protocol/keys.ts'
import type { NatReport } from '../../../../protocol/nat-report.ts'
import type { Host } from '../../../../simulations/lab/ground.ts'
import { createLab, type Lab } from '../../../../simulations/lab/lab.ts'
import type { SiteKind } from '../../../../simulations/lab/nat.ts'
import type { NatHostSettings, Order, Person, Report } from './nat-host.ts'

const PROGRAM = fileURLToPath(new URL('nat-host.ts', import.meta.url))
const STUN_PROGRAM = fileURLToPath(new URL('../lab-stun.ts', import.meta.url))
const PORT = 51820
const PATIENCE_MS = 120_000

export function newPerson(): Person {
  const keys = generateAgreementKeyPair()
  return {
    device: deviceIdOf(generateSigningKeyPair<'device'>().publicKey),
    publicKey: keys.publicKey,
    privateKey: privateBytesOf(keys),
  }
}

export class NatHost {
  readonly person = newPerson()
  readonly host: Host
  readonly #child: ChildProcess
  readonly #reports: Report[] = []
  candidates: readonly Candidate[] = []
  /** As it would say in its endpoint update. */
  nat: readonly NatReport[] = []

  constructor(host: Host, port = PORT) {
    this.host = host
    const settings: NatHostSettings = { self: this.person, port }
    const text = JSON.stringify(settings, (_key, value: unknown) =>
      value instanceof Uint8Array ? { $bytes: [...value] } : value,
    )
    this.#child = spawn(
      'ip',
      ['netns', 'exec', host.namespace.name, process.execPath, PROGRAM, text],
      { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], serialization: 'advanced' },
    )
    this.#child.on('message', (report: Report) => {
      this.#reports.push(report)
      if (report.kind !== 'local') return
      this.candidates = report.candidates
      this.nat = report.nat
    })
  }

  order(order: Order): void {
    if (this.#child.connected) this.#child.send(order)
  }

  async ready(): Promise<void> {
    await until('ready', () => this.#reports.some(({ kind }) => kind === 'ready'))
  }

  /** IPv4, IPv6, after asking anew. */
  async look(): Promise<readonly NatView[]> {
    const before = this.#reports.length
    this.order({ kind: 'look' })
    let views: readonly NatView[] = []
    await until('seen', () => {
      const seen = this.#reports.slice(before).findLast(({ kind }) => kind === 'seen')
      if (seen?.kind === 'seen') views = seen.views
      return views.length > 0
    })
    return views
  }

  /** Looks until it is so. Throws with the last look where it does not become so. */
  async becomes(what: string, isSo: (view: FamilyView) => boolean, family: 4 | 6 = 4) {
    const begun = performance.now()
    for (;;) {
      const view = (await this.look())[family === 4 ? 0 : 1]
      if (view !== undefined && isSo(view)) return view
      if (performance.now() - begun > PATIENCE_MS)
        throw new Error(`never ${what}: ${JSON.stringify(view)}`)
      await sleep(200)
    }
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null) return
    const exited = once(this.#child, 'exit')
    if (this.#child.connected) this.#child.disconnect()
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 10_000)
    await exited
    clearTimeout(timer)
  }
}

export interface NatLab extends AsyncDisposable {
  readonly lab: Lab
  /** By kind of site. */
  readonly hosts: ReadonlyMap<SiteKind, NatHost>
  readonly observers: readonly NatHost[]
  /** Members that nobody has candidates of. */
  readonly strangers: readonly Person[]
  readonly servers: readonly string[]
  /** Tells all hosts of the strangers alone: a device that knows others at its start may have sent to them. */
  strangersFirst(): void
  /** Tells all hosts of all candidates, and of the strangers. */
  introduce(): void
  all(): readonly NatHost[]
}

export async function startNatLab(kinds: readonly SiteKind[]): Promise<NatLab> {
  await using started = new AsyncDisposableStack()
  const open = ['public', 'public', 'public'] as const
  const lab = await createLab({ sites: [...kinds, ...open].map((kind) => ({ kind })) })
  started.defer(() => lab[Symbol.dispose]())
  const [first, second, third] = open.map((_, index) => lab.host(kinds.length + index + 1))
  if (first === undefined || second === undefined || third === undefined) throw new Error('open')
  const ipv6 = `2001:db8:${third.site}::2`
  for (const address of [third.address, ipv6]) {
    const server = spawn('ip', [
      ...['netns', 'exec', third.namespace.name, process.execPath, STUN_PROGRAM, address],
    ])
    started.defer(() => void server.kill('SIGKILL'))
    await once(server.stdout, 'data')
  }
  const hosts = new Map(kinds.map((kind, index) => [kind, new NatHost(lab.host(index + 1))]))
  // The third is at the server's address, so that ports can be compared.
  const observers = [new NatHost(first), new NatHost(second), new NatHost(third, 51999)]
  const all = [...hosts.values(), ...observers]
  for (const host of all) started.defer(() => host.end())
  await Promise.all(all.map((host) => host.ready()))
  const strangers = [newPerson(), newPerson()]
  const stack = started.move()
  return {
    ...{ lab, hosts, observers, strangers },
    servers: [`${third.address}:3478`, `[${ipv6}]:3478`],
    all: () => all,
    strangersFirst: () => {
      const peers = strangers.map((person) => ({ ...person, candidates: [] }))
      for (const host of all) host.order({ kind: 'peers', peers })
    },
    introduce: () => {
      for (const host of all) {
        const peers = all.filter((other) => other !== host)
        host.order({
          kind: 'peers',
          peers: [
            ...peers.map(({ person, candidates }) => ({ ...person, candidates })),
            ...strangers.map((person) => ({ ...person, candidates: [] })),
          ],
        })
      }
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

export async function until(what: string, isSo: () => boolean): Promise<void> {
  const begun = performance.now()
  while (!isSo()) {
    if (performance.now() - begun > PATIENCE_MS) throw new Error(`never: ${what}`)
    await sleep(20)
  }
}
