/** A registry as a process that is to be killed, and what it takes to enrol devices there. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { systemClock } from '../../registry/system-clock.ts'
import { completeSetup, loginByHttp, organizationsOf } from '../lab/login.ts'

const MAIN = fileURLToPath(new URL('../../registry/main.ts', import.meta.url))
const ADA = { email: 'ada@example.org', password: 'difference engine' }

export interface RegistryChild {
  readonly url: string
  readonly setupUrl: string | undefined
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>
}

/** Throws with what it said where it does not start. */
export async function startChild(stateDirectory: string): Promise<RegistryChild> {
  const child = spawn(
    process.execPath,
    [
      ...[MAIN, '--state-dir', stateDirectory, '--listen', '127.0.0.1:0', '--log-level', 'error'],
      ...['--rendezvous-listen', '/ip4/127.0.0.1/tcp/0', '--stun-listen', '127.0.0.1:0'],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let said = ''
  const hear = (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-20_000)
  }
  child.stdout.on('data', hear)
  child.stderr.on('data', hear)
  const end = () => child.kill('SIGKILL')
  process.once('exit', end)
  for (;;) {
    const url = /at (http\S+)\n/.exec(said)?.[1]
    if (url !== undefined) {
      return {
        url,
        setupUrl: /https?:\/\/\S+\/setup\/\S+/.exec(said)?.[0],
        kill: () => kill(child, end),
      }
    }
    const ending = child.exitCode ?? child.signalCode
    if (ending !== null) throw new Error(`the registry did not start (${ending}): ${said}`)
    await systemClock.sleep(20)
  }
}

async function kill(child: ChildProcess, end: () => void): Promise<void> {
  process.removeListener('exit', end)
  if (child.exitCode !== null || child.signalCode !== null) {
    throw new Error(`the registry ended by itself (${child.exitCode ?? child.signalCode})`)
  }
  const ended = once(child, 'close')
  child.kill('SIGKILL')
  await ended
}

export interface Entrance {
  readonly organization: string
  readonly registrationKey: string
}

/** Makes the first user, and a registration key for any number of devices. */
export async function openEntrance({ url, setupUrl }: RegistryChild): Promise<Entrance> {
  if (setupUrl === undefined) throw new Error('the registry has a first user already')
  await completeSetup(setupUrl, ADA)
  const ada = await loginByHttp(url, ADA)
  const [organization = ''] = await organizationsOf(ada)
  const response = await ada.fetch(`/v1/organizations/${organization}/registration-keys`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: url },
    body: JSON.stringify({ description: 'crash', singleUse: false }),
  })
  const made: unknown = await response.json()
  if (made === null || typeof made !== 'object' || !('key' in made)) {
    throw new Error(`no registration key: ${response.status}`)
  }
  return { organization, registrationKey: String(made.key) }
}
