/** A scene: a laboratory with a real registry in it, real agents, and a person who lets them in. */
import { join } from 'node:path'
import { z } from 'zod'
import { AGENT_SOURCES, type AgentProgram, agentProgram } from '../../deploy/agent-program.ts'
import { LabAgent } from './agent.ts'
import type { SiteOptions } from './ground.ts'
import { createLab, type Lab, type LabOptions } from './lab.ts'
import type { Running } from './namespace.ts'
import { type RegistrySite, registrySite } from './registry-site.ts'
import { startVisitor, type Visitor } from './visitor.ts'

const REGISTRY = new URL('../../registry/main.ts', import.meta.url).pathname
const CREDENTIALS = { email: 'ada@example.org', password: 'correct horse battery staple' }

/** One-way delay of an access link: 40 ms of round trip between two sites. */
export const ACCESS_DELAY_MS = 10

/** Milliseconds that a registry may take to start, on a machine that has better things to do. */
const REGISTRY_MS = 90_000

export interface AgentPlace {
  readonly site: number
  readonly index?: number
  /** Further options of nexd's command line. */
  readonly extra?: readonly string[]
  /** As `LabAgent` has it. */
  readonly hasNames?: boolean
}

export interface SceneOptions extends LabOptions {
  /** Which site the registry is at; a public one. */
  readonly registrySite: number
  /** Who reaches it: hosts with IPv4 unless given, or those too that have only IPv6 or TCP 443. */
  readonly registryFor?: 'ipv4' | 'everybody'
  /** Name of each agent and its site (and host there). */
  readonly agents: Readonly<Record<string, AgentPlace>>
  /** Of the registry's web pages and API; 3000 unless given. */
  readonly registryPort?: number
  /** Further options of the registry's command line. */
  readonly registryExtra?: readonly string[]
  /** What the laboratory needs before anything runs in it. */
  prepare?(lab: Lab): Promise<void>
  /** How they are let in: a person approves each code, or a registration key; or not yet. */
  readonly enrol: 'person' | 'key' | 'later'
  readonly narrate?: (line: string) => void
}

/** Two hosts behind port-restricted NATs, a public one, and the registry at a fourth site. */
export const TWO_NATS: SceneOptions = {
  sites: ['public', 'port', 'port', 'public'].map((kind) => ({
    kind: kind as SiteOptions['kind'],
    delayMs: ACCESS_DELAY_MS,
  })),
  registrySite: 4,
  agents: { hub: { site: 1 }, laptop: { site: 2 }, phone: { site: 3 } },
  enrol: 'person',
}

export class Scene implements Disposable {
  readonly lab: Lab
  readonly registryUrl: string
  readonly person: Visitor
  readonly agents = new Map<string, LabAgent>()
  readonly #options: SceneOptions
  readonly #program: AgentProgram
  readonly #site: RegistrySite
  #registry: Running | undefined
  organization = ''

  constructor(lab: Lab, options: SceneOptions, program: AgentProgram) {
    this.lab = lab
    this.#options = options
    this.#program = program
    const { registryFor = 'ipv4', registryPort = 3000 } = options
    this.#site = registrySite(lab.host(options.registrySite), registryFor, registryPort)
    this.registryUrl = this.#site.urlFor('public')
    this.person = startVisitor(lab.core)
  }

  agent(name: string): LabAgent {
    const agent = this.agents.get(name)
    if (agent === undefined) throw new Error(`no agent ${name}`)
    return agent
  }

  get registry(): Running {
    if (this.#registry === undefined) throw new Error('the registry does not run')
    return this.#registry
  }

  /** Once, before the registry starts. */
  prepareRegistry(): Promise<void> {
    return this.#site.prepare()
  }

  /** Resolves when it serves. */
  async startRegistry(): Promise<void> {
    const host = this.lab.host(this.#options.registrySite)
    this.#registry = host.namespace.spawn(join(this.lab.folder, 'registry.log'), process.execPath, [
      REGISTRY,
      '--state-dir',
      join(this.lab.folder, 'registry.state'),
      ...this.#site.args,
      ...(this.#options.registryExtra ?? []),
    ])
    await this.#registry.waitFor(/Nexodus registry .* at /, REGISTRY_MS)
  }

  async stopRegistry(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await this.registry.stop(signal)
    this.#registry = undefined
  }

  /** The first user, signed in by the real pages of the identity provider. */
  async signIn(): Promise<void> {
    const setUp = (await this.registry.waitFor(/(http:\/\/\S+\/setup\/\S+)/))[1] ?? ''
    await this.person.ask({ kind: 'set-up', url: setUp, ...CREDENTIALS })
    await this.signInAgain()
    this.organization =
      z.array(z.string()).parse(await this.person.ask({ kind: 'organizations' }))[0] ?? ''
  }

  /** A new session, after a restart of the registry. */
  async signInAgain(): Promise<void> {
    await this.person.ask({ kind: 'sign-in', url: this.registryUrl, ...CREDENTIALS })
  }

  addAgent(name: string, site: number, index = 0, registrationKey?: string): LabAgent {
    const host = this.lab.host(site, index)
    const agent = new LabAgent({
      program: this.#program,
      name,
      host,
      folder: this.lab.folder,
      registry: this.#site.urlFor(host.kind),
      interfaceName: `${this.lab.prefix}${this.agents.size}`,
      ...(registrationKey === undefined ? {} : { registrationKey }),
      extra: this.#options.agents[name]?.extra ?? [],
      hasNames: this.#options.agents[name]?.hasNames ?? false,
    })
    this.agents.set(name, agent)
    return agent
  }

  /** Starts the agent and has the person approve its code. */
  async enrol(agent: LabAgent): Promise<void> {
    agent.start()
    if (agent.options.registrationKey === undefined) {
      await this.person.ask({ kind: 'approve', link: await agent.link() })
    }
    await agent.started()
  }

  async registrationKey(): Promise<string> {
    const made = await this.call('POST', 'registration-keys', {
      description: 'laboratory',
      singleUse: false,
    })
    return z.object({ key: z.string() }).parse(made).key
  }

  async removeDevice(name: string): Promise<void> {
    await this.call('DELETE', `devices/${await this.#deviceId(name)}`)
  }

  grantPrefix(name: string, prefix: string): Promise<void> {
    return this.grantPrefixes(name, [prefix])
  }

  /** With what else the device is to be allowed. */
  async grantPrefixes(
    name: string,
    prefixes: readonly string[],
    more: { readonly roles?: readonly string[] } = {},
  ): Promise<void> {
    await this.call('PATCH', `devices/${await this.#deviceId(name)}`, { prefixes, ...more })
  }

  /** The registry's API, in the person's organization. */
  call(method: string, path: string, body?: unknown): Promise<unknown> {
    return this.person.ask({
      kind: 'call',
      method,
      path: `/v1/organizations/${this.organization}/${path}`,
      body,
    })
  }

  async #deviceId(name: string): Promise<string> {
    const { devices } = z
      .object({ devices: z.array(z.object({ id: z.string(), name: z.string() })) })
      .parse(await this.call('GET', 'devices'))
    const device = devices.find((each) => each.name === name)
    if (device === undefined) throw new Error(`the registry knows no device ${name}`)
    return device.id
  }

  /** Ends processes politely first, so that they clean up as they would on a real host. */
  async stop(): Promise<void> {
    try {
      await this.stopProcesses()
    } finally {
      this[Symbol.dispose]()
    }
  }

  /** Agents, registry and person end; the laboratory stays. */
  async stopProcesses(): Promise<void> {
    await Promise.all([...this.agents.values()].map((agent) => agent.stop()))
    await this.#registry?.stop('SIGTERM')
    this.#registry = undefined
    this.person[Symbol.dispose]()
  }

  [Symbol.dispose](): void {
    this.person[Symbol.dispose]()
    this.lab[Symbol.dispose]()
  }
}

/** Resolves when all agents run. Agents are let in one after another, as a person would. */
export async function startScene(options: SceneOptions = TWO_NATS): Promise<Scene> {
  return openScene(await createLab(options), options)
}

/** The same in a laboratory that is there; it ends with the scene. */
export async function openScene(lab: Lab, options: SceneOptions): Promise<Scene> {
  const narrate = options.narrate ?? (() => {})
  // Coverage is of the sources.
  const isCoverage = process.env['NODE_V8_COVERAGE'] !== undefined
  const program = isCoverage ? AGENT_SOURCES : await agentProgram()
  const scene = new Scene(lab, options, program)
  try {
    narrate(`${options.sites.length} sites: ${options.sites.map(({ kind }) => kind).join(', ')}`)
    await options.prepare?.(scene.lab)
    await scene.prepareRegistry()
    await scene.startRegistry()
    narrate(`registry at ${scene.registryUrl}; its first user sets a password and signs in`)
    await scene.signIn()
    const key = options.enrol === 'key' ? await scene.registrationKey() : undefined
    const agents = Object.entries(options.agents).map(([name, { site, index }]) =>
      scene.addAgent(name, site, index, key),
    )
    if (options.enrol === 'later') return scene
    for (const agent of agents) {
      await scene.enrol(agent)
      narrate(
        `${agent.name} (${options.sites[agent.host.site - 1]?.kind}) is in: ${(await agent.addresses()).join(' ')}`,
      )
    }
    return scene
  } catch (error) {
    scene[Symbol.dispose]()
    throw error
  }
}

/** Asks until the answer is true. Throws, naming `what`, after `timeoutMs`; else the milliseconds it took. */
export async function until(
  what: string,
  timeoutMs: number,
  isSo: () => Promise<boolean>,
): Promise<number> {
  const started = performance.now()
  for (;;) {
    if (await isSo()) return performance.now() - started
    if (performance.now() - started > timeoutMs)
      throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
