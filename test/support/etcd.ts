/** An etcd cluster on loopback, a process for each member, with a directory that goes when the test ends. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { systemClock } from '../../registry/system-clock.ts'
import { freePort, temporaryDirectory } from './registry.ts'

export interface Member {
  readonly name: string
  /** `127.0.0.1:port` */
  readonly endpoint: string
  readonly kill: (signal: NodeJS.Signals) => Promise<void>
  readonly start: () => void
}

export interface Cluster extends AsyncDisposable {
  readonly members: readonly Member[]
  /** `etcd://…`, with this prefix. */
  location(prefix: string): string
  leader(): Promise<Member>
}

const children: ChildProcess[] = []
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})

/** Resolves when the cluster writes.
 *  @param scheme of what clients connect to; `options` are etcd's own */
export async function startEtcd(
  size: number,
  { scheme = 'http', options = [] }: { scheme?: string; options?: readonly string[] } = {},
): Promise<Cluster> {
  const folder = await temporaryDirectory()
  const ports: { name: string; client: number; peer: number }[] = []
  for (let at = 0; at < size; at++) {
    ports.push({ name: `m${at}`, client: await freePort(), peer: await freePort() })
  }
  const all = ports.map(({ name, peer }) => `${name}=http://127.0.0.1:${peer}`).join(',')
  const members = ports.map(({ name, client, peer }) =>
    memberOf(`127.0.0.1:${client}`, name, [
      ...['--name', name, '--data-dir', join(folder, name), '--initial-cluster', all],
      ...['--listen-client-urls', `${scheme}://127.0.0.1:${client}`],
      ...['--advertise-client-urls', `${scheme}://127.0.0.1:${client}`],
      ...['--listen-peer-urls', `http://127.0.0.1:${peer}`],
      ...['--initial-advertise-peer-urls', `http://127.0.0.1:${peer}`],
      ...options,
    ]),
  )
  const cluster = {
    members,
    location: (prefix: string) =>
      `etcd://${members.map(({ endpoint }) => endpoint).join(',')}/${prefix}`,
    async leader() {
      for (;;) {
        const found = await leaderOf(members)
        if (found !== undefined) return found
        await systemClock.sleep(50)
      }
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(members.map((member) => member.kill('SIGKILL')))
    },
  }
  if (scheme === 'http') await cluster.leader()
  return cluster
}

function memberOf(endpoint: string, name: string, args: readonly string[]): Member {
  let child: ChildProcess | undefined
  const start = () => {
    child = spawn('etcd', [...args], { stdio: 'ignore' })
    children.push(child)
  }
  start()
  return {
    name,
    endpoint,
    start,
    async kill(signal) {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
      const ended = once(child, 'exit')
      child.kill(signal)
      if (signal === 'SIGKILL') await ended
    },
  }
}

async function leaderOf(members: readonly Member[]): Promise<Member | undefined> {
  for (const member of members) {
    const status = await fetch(`http://${member.endpoint}/v3/maintenance/status`, {
      method: 'POST',
      body: '{}',
      signal: AbortSignal.timeout(1000),
    }).catch(() => undefined)
    const answer = (await status?.json().catch(() => undefined)) as
      | { leader?: string; header?: { member_id?: string } }
      | undefined
    if (answer?.leader !== undefined && answer.leader === answer.header?.member_id) return member
  }
  return undefined
}
