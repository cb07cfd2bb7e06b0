/** Needs: what a test file can't do without. Where it is missing the file is skipped, visibly. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { SKIP_MARK } from './run-file.ts'

const FOUND: Readonly<Record<string, { readonly isThere: () => boolean; readonly hint: string }>> =
  {
    root: { isThere: () => process.getuid?.() === 0, hint: 'run as root' },
    netns: {
      isThere: () => hasCommand('ip') && hasCapability(21n),
      hint: 'run as root with iproute2 installed',
    },
    'wireguard-go': {
      isThere: () => hasCommand('wireguard-go') && hasCommand('wg') && existsSync('/dev/net/tun'),
      hint: 'apt-get install wireguard-go wireguard-tools; needs /dev/net/tun',
    },
    nft: { isThere: () => hasCommand('nft'), hint: 'apt-get install nftables' },
    chromium: { isThere: () => existsSync('/usr/bin/chromium'), hint: 'apt-get install chromium' },
    iperf3: { isThere: () => hasCommand('iperf3'), hint: 'apt-get install iperf3' },
    tcpdump: { isThere: () => hasCommand('tcpdump'), hint: 'apt-get install tcpdump' },
    conntrack: { isThere: () => hasCommand('conntrack'), hint: 'apt-get install conntrack' },
    iptables: {
      isThere: () => hasCommand('iptables') && hasCommand('python3'),
      hint: 'apt-get install iptables python3',
    },
    ping: { isThere: () => hasCommand('ping'), hint: 'apt-get install iputils-ping' },
    'systemd-analyze': {
      isThere: () => hasCommand('systemd-analyze'),
      hint: 'apt-get install systemd',
    },
    'docker-compose': {
      isThere: () => succeeds('docker', ['compose', 'version']),
      hint: 'install the docker client with its compose plugin',
    },
    'kernel-wireguard': { isThere: hasKernelWireguard, hint: 'a kernel with the wireguard module' },
  }
export type Need =
  | 'root'
  | 'netns'
  | 'wireguard-go'
  | 'nft'
  | 'chromium'
  | 'iperf3'
  | 'tcpdump'
  | 'conntrack'
  | 'iptables'
  | 'ping'
  | 'systemd-analyze'
  | 'docker-compose'
  | 'kernel-wireguard'
  | 'glewlwyd'
  | 'docker-cli'

/** Ends the process, counted as skipped, unless all of it is there. Call it before anything else. */
export function needs(...wanted: readonly Need[]): true {
  const missing = wanted.filter((need) => FOUND[need]?.isThere() !== true)
  if (missing.length === 0) return true
  const hints = missing.map((need) => `${need} (${FOUND[need]?.hint ?? 'not known here'})`)
  process.stdout.write(`${SKIP_MARK}needs ${hints.join(', ')}\n`)
  process.exit(0)
}

function hasCommand(name: string): boolean {
  const path = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin:/usr/local/sbin`
  return path.split(':').some((folder) => existsSync(`${folder}/${name}`))
}

/** Bit of a capability in the effective set (capabilities(7)). */
function hasCapability(bit: bigint): boolean {
  const effective =
    /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'
  return ((BigInt(`0x${effective}`) >> bit) & 1n) === 1n
}

function succeeds(command: string, args: readonly string[]): boolean {
  try {
    execFileSync(command, [...args], { stdio: 'ignore', timeout: 10_000 })
    return true
  } catch (error) {
    if (error instanceof Error) return false
    throw error
  }
}

function hasKernelWireguard(): boolean {
  const name = `nxk${process.pid}`
  if (!succeeds('ip', ['link', 'add', name, 'type', 'wireguard'])) return false
  return succeeds('ip', ['link', 'del', name])
}
