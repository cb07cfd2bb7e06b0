/** Two network namespaces joined by a cable, for tests of what the host's kernel does. */
import { execFile, execFileSync } from 'node:child_process'
import { promisify } from 'node:util'
import { type Commands, commandsOf } from '../../../agent/host/run.ts'
import { killIfThere } from '../../support/kill-if-there.ts'

const execute = promisify(execFile)
const made = new Set<string>()
/** Letters that no two namespaces of this process have at a time. */
const free = [...'abcdefgh']
// A test that is stopped for its time limit, or throws outside its rules, leaves none behind.
process.once('SIGTERM', () => process.exit(143))
process.once('exit', () => {
  for (const name of made) execFileSync('ip', ['netns', 'delete', name])
})

export interface Namespace extends AsyncDisposable {
  readonly name: string
  readonly commands: Commands
  /** Interface names have one namespace on a host where wireguard-go is concerned. */
  readonly tunnelName: string
  /** The cable's end and its addresses. */
  readonly link: string
  readonly ipv4: string
  readonly ipv6: string
  /** Output of a shell command in it. Throws where its status is not 0. */
  sh(command: string): Promise<string>
  /** Does one echo request to the address come back within this many seconds? */
  pings(address: string, seconds?: number): Promise<boolean>
  /** Every process in it. */
  processes(): Promise<readonly number[]>
}

/** Named after the process, so that files may run side by side. */
export async function joinedNamespaces(): Promise<readonly [Namespace, Namespace]> {
  const [a, b] = await Promise.all([namespace(1), namespace(2)])
  const cable = ['link', 'add', a.link, 'netns', a.name, 'type', 'veth', 'peer', 'name', b.link]
  await execute('ip', [...cable, 'netns', b.name])
  for (const { sh, link, ipv4, ipv6 } of [a, b]) {
    await sh(`ip link set lo up; ip link set ${link} up
      ip address add ${ipv4}/24 dev ${link}; ip address add ${ipv6}/64 dev ${link} nodad`)
  }
  return [a, b]
}

async function namespace(number: number): Promise<Namespace> {
  const letter = free.shift()
  if (letter === undefined) throw new Error('too many namespaces')
  const name = `nxt-${process.pid}-${letter}`
  await execute('ip', ['netns', 'add', name])
  made.add(name)
  const prefix = ['ip', 'netns', 'exec', name]
  const sh = async (command: string): Promise<string> => {
    const { stdout } = await execute('ip', ['netns', 'exec', name, 'sh', '-ec', command])
    return stdout
  }
  const processes = async (): Promise<readonly number[]> => {
    const { stdout } = await execute('ip', ['netns', 'pids', name])
    return stdout.split('\n').filter(Boolean).map(Number)
  }
  return {
    name,
    commands: commandsOf({ prefix }),
    tunnelName: `nxt${process.pid}${letter}`,
    link: `nxtv${letter}`,
    ipv4: `192.0.2.${number}`,
    ipv6: `2001:db8::${number}`,
    sh,
    processes,
    pings: (address, seconds = 2) =>
      sh(`ping -c 1 -W ${seconds} ${address}`).then(
        () => true,
        () => false,
      ),
    async [Symbol.asyncDispose]() {
      for (const pid of await processes()) killIfThere(pid)
      await execute('ip', ['netns', 'delete', name])
      made.delete(name)
      free.unshift(letter)
    },
  }
}
