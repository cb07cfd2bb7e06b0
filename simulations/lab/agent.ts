/** A real agent in the laboratory: nexd in a host's namespace, nexctl beside it. */
import { join } from 'node:path'
import type { z } from 'zod'
import { NETCHECK, type NetcheckReport } from '../../agent/control/netcheck-report.ts'
import { PEERS, type PeerReport, STATUS, type StatusReport } from '../../agent/control/reports.ts'
import { ROUTES, type RouteReport } from '../../agent/control/route-report.ts'
import { WHY, type WhyReport } from '../../agent/why/report.ts'
import type { AgentProgram } from '../../deploy/agent-program.ts'
import type { Host } from './ground.ts'
import type { Output, Running } from './namespace.ts'
import { processTree } from './processes.ts'

/** As deploy/ starts it. */
const FLAGS = ['--min-semi-space-size=8', '--max-semi-space-size=16']

export interface AgentOptions {
  /** As it is deployed. */
  readonly program: AgentProgram
  readonly name: string
  readonly host: Host
  /** Where logs and state directories go. */
  readonly folder: string
  /** `https://host#organization` */
  readonly registry: string
  /** Unique on this machine: WireGuard's sockets are named after it. */
  readonly interfaceName: string
  readonly registrationKey?: string
  readonly extra?: readonly string[]
  /** Are programs of its host to find the names of the organization? Namespaces share the machine's /etc/hosts. */
  readonly hasNames?: boolean
}

/** Of an agent's log, where it does not answer. */
const LAST_LINES = 12

export class LabAgent {
  readonly options: AgentOptions
  #running: Running | undefined

  constructor(options: AgentOptions) {
    this.options = options
  }

  get name(): string {
    return this.options.name
  }

  get host(): Host {
    return this.options.host
  }

  get logFile(): string {
    return join(this.options.folder, `${this.name}.log`)
  }

  get stateDirectory(): string {
    return join(this.options.folder, `${this.name}.state`)
  }

  /** What it has printed since it was started. */
  get lines(): readonly string[] {
    return this.#running?.lines ?? []
  }

  get process(): Running {
    if (this.#running === undefined) throw new Error(`${this.name} does not run`)
    return this.#running
  }

  /** Starts nexd, by another command such as env where one is given, with more options; resolves at once. */
  start(by: readonly string[] = [], more: readonly string[] = []): Running {
    const { program, registry, registrationKey, interfaceName, host, extra = [] } = this.options
    const { hasNames = false } = this.options
    const key = registrationKey === undefined ? [] : ['--registration-key', registrationKey]
    const args = [
      'up',
      '--registry',
      registry,
      '--name',
      this.name,
      '--state-dir',
      this.stateDirectory,
      '--socket',
      this.socket,
      '--interface',
      interfaceName,
      '--no-mdns',
      ...(hasNames ? [] : ['--no-names']),
      ...key,
      ...extra,
      ...more,
    ]
    const [command = '', ...rest] = [...by, process.execPath, ...FLAGS, program.nexd, ...args]
    this.#running = host.namespace.spawn(this.logFile, command, rest)
    return this.#running
  }

  get socket(): string {
    return join(this.options.folder, `${this.name}.sock`)
  }

  /** The link that a person has to open. */
  async link(): Promise<string> {
    return (await this.process.waitFor(/open: (\S+)/))[1] ?? ''
  }

  async started(timeoutMs = 90_000): Promise<void> {
    await this.process.waitFor(/daemon\.started/, timeoutMs)
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await this.#running?.stop(signal)
    this.#running = undefined
  }

  /** nexd and what it has started; none where it does not run. */
  async pids(): Promise<readonly number[]> {
    const pid = this.#running?.child.pid
    return pid === undefined ? [] : processTree(pid)
  }

  /** nexctl as an operator types it. */
  nexctl(...args: readonly string[]): Promise<Output> {
    const { nexctl } = this.options.program
    return this.host.namespace.attempt(process.execPath, nexctl, '--socket', this.socket, ...args)
  }

  async status(): Promise<StatusReport> {
    return this.#json(STATUS, 'status')
  }

  async peers(): Promise<readonly PeerReport[]> {
    return this.#json(PEERS, 'peers', 'list')
  }

  async why(peer: string): Promise<WhyReport> {
    return this.#json(WHY, 'why', peer)
  }

  async routes(): Promise<readonly RouteReport[]> {
    return this.#json(ROUTES, 'route', 'list')
  }

  async netcheck(): Promise<NetcheckReport> {
    return this.#json(NETCHECK, 'netcheck')
  }

  async peer(name: string): Promise<PeerReport | undefined> {
    return (await this.peers()).find((each) => each.name === name)
  }

  /** Overlay addresses, IPv4 first. */
  async addresses(): Promise<readonly string[]> {
    return (await this.status()).addresses
  }

  async #json<T>(shape: z.ZodType<T>, ...args: readonly string[]): Promise<T> {
    const { stdout, stderr, status } = await this.nexctl('--output', 'json', ...args)
    if (status !== 0) {
      const last = this.lines.slice(-LAST_LINES).join('\n')
      throw new Error(
        `${this.name}: nexctl ${args.join(' ')}: ${stderr.trim()}\nits log ends:\n${last}`,
      )
    }
    return shape.parse(JSON.parse(stdout))
  }
}
