/** A device of the demonstration: `nexd proxy`, as an ordinary user starts it, and what its local API tells. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { ask } from '../../agent/control/client.ts'
import {
  PEERS,
  type PeerReport,
  PING,
  STATUS,
  type StatusReport,
} from '../../agent/control/reports.ts'
import type { Leashed, LeashedOptions } from './leashed.ts'

const NEXD = new URL('../../agent/nexd.js', import.meta.url)
const NEXCTL = new URL('../../agent/nexctl.ts', import.meta.url).pathname
const TAP = new URL('tap.ts', import.meta.url)

export interface DeviceOptions {
  readonly name: string
  /** Of the whole demonstration. */
  readonly folder: string
  readonly registry: string
  readonly wireguardPort: number
  readonly meshPort: number
  /** Further options of `nexd proxy`. */
  readonly proxy: readonly string[]
  /** Starts a process that ends with the demonstration. */
  start(options: Pick<LeashedOptions, 'name' | 'script' | 'args' | 'imports' | 'env'>): Leashed
}

export class Device {
  readonly name: string
  readonly #options: DeviceOptions
  #process: Leashed

  constructor(options: DeviceOptions) {
    this.name = options.name
    this.#options = options
    this.#process = this.#start()
  }

  get process(): Leashed {
    return this.#process
  }

  get socket(): string {
    return join(this.#options.folder, `${this.name}.sock`)
  }

  /** Each datagram that it sends (tap.ts). */
  get tap(): string {
    return join(this.#options.folder, `${this.name}.sent`)
  }

  async restart(): Promise<void> {
    await this.#process.stop()
    this.#process = this.#start()
  }

  /** The page where a person approves it. */
  async link(): Promise<string> {
    return (await this.#process.waitFor(/open: (\S+)/))[1] ?? ''
  }

  async started(): Promise<void> {
    await this.#process.waitFor(/daemon\.started/)
  }

  status(): Promise<StatusReport> {
    return ask(this.socket, STATUS, '/v1/status')
  }

  /** In the mesh; IPv4 first. */
  async address(): Promise<string> {
    return (await this.status()).addresses[0] ?? ''
  }

  async peer(name: string): Promise<PeerReport | undefined> {
    return (await ask(this.socket, PEERS, '/v1/peers')).find((each) => each.name === name)
  }

  /** Is an echo through the tunnel answered? */
  async pings(name: string): Promise<boolean> {
    if ((await this.peer(name)) === undefined) return false
    const { received } = await ask(this.socket, PING, '/v1/peers/ping', { peer: name, count: 1 })
    return received > 0
  }

  /** What nexctl prints, as its user types it. Throws with what it complains of. */
  async nexctl(...words: readonly string[]): Promise<string> {
    const all = [NEXCTL, '--socket', this.socket, ...words]
    return (await promisify(execFile)(process.execPath, all)).stdout
  }

  #start(): Leashed {
    const { name, folder, registry, wireguardPort, meshPort, proxy, start } = this.#options
    return start({
      name,
      script: NEXD,
      args: [
        ...['proxy', '--name', name, '--registry', registry],
        ...['--state-dir', join(folder, name), '--socket', this.socket],
        ...['--listen-port', `${wireguardPort}`],
        ...['--mesh-listen', `/ip4/127.0.0.1/tcp/${meshPort}`],
        ...['--no-mdns', '--no-port-mapping'],
        ...proxy,
      ],
      imports: [TAP],
      env: { NEXODUS_DEMO_TAP: this.tap },
    })
  }
}
