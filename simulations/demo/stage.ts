/** Stage: the registry, three devices and a web page, processes of this user on loopback; nothing of them is left when
 *  it ends. */
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { randomBytes } from '../../crypto/random.ts'
import {
  approveDevice,
  type Browser,
  type Credentials,
  completeSetup,
  loginByHttp,
} from '../lab/login.ts'
import { Device, type DeviceOptions } from './device.ts'
import { Leashed, type LeashedOptions, type Sweeper, startSweeper } from './leashed.ts'
import { freePorts } from './ports.ts'

const REGISTRY = new URL('../../registry/main.ts', import.meta.url)
const PAGE = new URL('page.ts', import.meta.url)

/** Of the web page: its heading, which no packet between the devices may show. */
export const HEADING = 'Hello from the server'

export const NAMES = ['server', 'laptop', 'phone'] as const
export type Name = (typeof NAMES)[number]

/** A process that nobody had stopped has ended. */
export class FaultError extends Error {
  override readonly name = 'FaultError'
  readonly code = 'ERR_DEMO_FAULT'
  readonly process: Leashed

  constructor(process: Leashed, message: string) {
    super(message)
    this.process = process
  }
}

export class Stage implements AsyncDisposable {
  readonly folder: string
  readonly credentials: Credentials
  readonly ports: Readonly<Record<'registry' | 'rendezvous' | 'stun' | 'proxy' | 'egress', number>>
  /** Rejects with FaultError. */
  readonly fault: Promise<never>
  readonly #sweeper: Sweeper
  readonly #more: readonly number[]
  readonly #processes = new Map<string, Leashed>()
  readonly #devices = new Map<Name, Device>()
  readonly #broken = Promise.withResolvers<never>()
  #browser: Browser | undefined
  #isEnding = false

  constructor(folder: string, ports: readonly number[]) {
    this.folder = folder
    const [registry = 0, rendezvous = 0, stun = 0, proxy = 0, egress = 0, ...more] = ports
    this.ports = { registry, rendezvous, stun, proxy, egress }
    this.#more = more
    const password = Buffer.from(randomBytes(12)).toString('base64url')
    this.credentials = { email: 'ada@example.org', password }
    this.fault = this.#broken.promise
    this.fault.catch(() => undefined)
    this.#sweeper = startSweeper(folder)
  }

  get registryUrl(): string {
    return `http://127.0.0.1:${this.ports.registry}`
  }

  device(name: Name): Device {
    const device = this.#devices.get(name)
    if (device === undefined) throw new Error(`no device ${name}`)
    return device
  }

  process(name: string): Leashed {
    const process = this.#processes.get(name)
    if (process === undefined) throw new Error(`no process ${name}`)
    return process
  }

  /** Those of these names that were started. */
  started(names: readonly string[]): readonly Leashed[] {
    return names.flatMap((name) => this.#processes.get(name) ?? [])
  }

  /** Resolves when it serves. */
  async startRegistry(): Promise<void> {
    const { registry, rendezvous, stun } = this.ports
    const process = this.#start({
      name: 'registry',
      script: REGISTRY,
      args: [
        ...['--state-dir', join(this.folder, 'registry'), '--listen', `127.0.0.1:${registry}`],
        ...['--rendezvous-listen', `/ip4/127.0.0.1/tcp/${rendezvous}`],
        ...['--stun-listen', `127.0.0.1:${stun}`],
      ],
    })
    await process.waitFor(/Nexodus registry .* at /)
  }

  /** The first user, by the registry's own pages. */
  async signIn(): Promise<void> {
    const found = await this.process('registry').waitFor(/(http:\/\/\S+\/setup\/\S+)/)
    await completeSetup(found[1] ?? '', this.credentials)
    this.#browser = await loginByHttp(this.registryUrl, this.credentials)
  }

  /** They ask to be let in; `approve` lets them. */
  startDevices(): void {
    const options: Readonly<Record<Name, readonly string[]>> = {
      server: [],
      laptop: ['--http-proxy', `${this.ports.proxy}`],
      phone: ['--egress', `tcp:${this.ports.egress}:server:80`],
    }
    for (const [index, name] of NAMES.entries()) {
      const made: DeviceOptions = {
        name,
        folder: this.folder,
        registry: this.registryUrl,
        wireguardPort: this.#more[2 * index] ?? 0,
        meshPort: this.#more[2 * index + 1] ?? 0,
        proxy: options[name],
        start: (of) => this.#start(of),
      }
      this.#devices.set(name, new Device(made))
    }
  }

  /** Opens the link that the device shows, as the user who signed in. */
  async approve(name: Name): Promise<void> {
    if (this.#browser === undefined) throw new Error('nobody has signed in')
    await approveDevice(this.#browser, await this.device(name).link())
  }

  /** The web page's port on loopback. */
  async servePage(): Promise<number> {
    const process = this.#start({ name: 'page', script: PAGE, args: [HEADING] })
    return Number((await process.waitFor(/port (\d+)/))[1])
  }

  /** Ends every process, then removes the folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnding = true
    await Promise.all([...this.#processes.values()].map((each) => each.stop()))
    await this.#sweeper.sweep()
  }

  #start(options: Pick<LeashedOptions, 'name' | 'script' | 'args' | 'imports' | 'env'>): Leashed {
    if (this.#isEnding) throw new Error('the demonstration ends')
    const process = new Leashed({
      ...options,
      home: this.folder,
      held: this.#sweeper.held,
      onFault: (broken, why) => this.#broken.reject(new FaultError(broken, why)),
    })
    this.#processes.set(options.name, process)
    return process
  }
}

export async function openStage(): Promise<Stage> {
  const ports = await freePorts(5 + 2 * NAMES.length)
  return new Stage(await mkdtemp(join(tmpdir(), 'nexodus-demo-')), ports)
}
