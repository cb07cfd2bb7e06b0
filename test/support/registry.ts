/** A real registry in this process, on loopback, with a state directory of its own. */

import { rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { randomBytes } from '../../crypto/random.ts'
import type { Clock } from '../../protocol/clock.ts'
import { parseRelayRate } from '../../protocol/relay-rate.ts'
import { seconds } from '../../protocol/time.ts'
import type { Config } from '../../registry/config.ts'
import { type Registry, startRegistry } from '../../registry/start.ts'
import { systemClock } from '../../registry/system-clock.ts'
import {
  type Browser,
  type Credentials,
  completeSetup,
  inviteUser,
  loginByHttp,
} from '../../simulations/lab/login.ts'

export const ADA: Credentials = { email: 'ada@example.org', password: 'difference engine' }
export const BOB: Credentials = { email: 'bob@example.org', password: 'another good password' }

/** The system's clock, which a test may put forward. */
export interface ShiftedClock extends Clock {
  advance(by: number): void
}

export interface TestRegistry extends AsyncDisposable {
  readonly registry: Registry
  readonly url: string
  /** Where it listens, when `url` is somewhere else. */
  readonly localUrl: string
  readonly config: Config
  readonly clock: ShiftedClock
  readonly logged: { level: string; event: string; fields: Record<string, unknown> }[]
  /** Sets up Ada, the first user, and signs her in. */
  ada(): Promise<Browser>
  /** Has Ada invite Bob, and signs him in. */
  bob(ada: Browser): Promise<Browser>
}

export async function startTestRegistry(wanted: Partial<Config> = {}): Promise<TestRegistry> {
  const config: Config = {
    stateDirectory: await temporaryDirectory(),
    listen: { host: '127.0.0.1', port: 0 },
    trustedProxies: [],
    insecureHttp: false,
    rendezvousListen: ['/ip4/127.0.0.1/tcp/0'],
    rendezvousAnnounce: [],
    stunListen: { host: '127.0.0.1', port: 0 },
    stunAnnounce: [],
    relayRate: parseRelayRate('1000'),
    logLevel: 'error',
    ...wanted,
  }
  const clock = shiftedClock()
  const logged: TestRegistry['logged'] = []
  const registry = await startRegistry(config, {
    version: 'test',
    clock,
    randomBytes,
    log: (level, event, fields = {}) => void logged.push({ level, event, fields }),
  })
  const url = registry.publicUrl
  return {
    registry,
    url,
    localUrl: registry.localUrl,
    config,
    clock,
    logged,
    async ada() {
      if (registry.setupUrl === undefined) throw new Error('there is a first user already')
      await completeSetup(registry.setupUrl, ADA)
      return loginByHttp(url, ADA)
    },
    async bob(ada) {
      await completeSetup(await inviteUser(ada), BOB)
      return loginByHttp(url, BOB)
    },
    [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose](),
  }
}

function shiftedClock(): ShiftedClock {
  let offset = 0
  return {
    ...systemClock,
    now: () => seconds(systemClock.now() + offset),
    nowMs: () => systemClock.nowMs() + offset * 1000,
    advance(by) {
      offset += by
    },
  }
}

const directories: string[] = []
process.once('exit', () => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true })
})

/** Removed when the process ends. */
export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'nexodus-registry-'))
  directories.push(directory)
  return directory
}

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
