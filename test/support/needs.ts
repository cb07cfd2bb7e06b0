/** Needs: what a test file can't do without. Where it is missing the file is skipped, visibly. */
import { spawnSync } from 'node:child_process'
import { accessSync, constants, readFileSync } from 'node:fs'
import { isPackageKnown } from './debian-package.ts'
import { isKernelKnown } from './guest/kernel.ts'
import { SKIP_MARK, type Skip } from './verdict.ts'

interface Means {
  isThere(): boolean
  /** What to do where it is missing. */
  readonly hint: string
}

/** What the package's programs are linked with, beyond what those come with. */
const GLEWLWYD_LIBRARIES = [
  ...['libhoel.so.1.4', 'libulfius.so.2.7', 'libiddawc.so.1.1', 'liboath.so.0'],
  ...['libconfig.so.9', 'libcbor.so.0.8', 'libldap-2.5.so.0'],
]

const MEANS = {
  root: { isThere: () => process.getuid?.() === 0, hint: 'run as root' },
  netns: {
    isThere: () => hasCommand('ip') && hasCapability(CAP_SYS_ADMIN) && hasCapability(CAP_NET_ADMIN),
    hint: 'run as root, and apt-get install iproute2',
  },
  'wireguard-go': {
    isThere: () => hasCommand('wireguard-go') && hasCommand('wg') && isAccessible('/dev/net/tun'),
    hint: 'apt-get install wireguard-go wireguard-tools; /dev/net/tun must be there',
  },
  'kernel-wireguard': {
    isThere: () => hasKernelWireguard() || canRunGuest(),
    hint: 'a kernel with the wireguard module, and root; or Debian on amd64, apt-get update, and apt-get install qemu-system-x86 cpio kmod wireguard-tools nftables iproute2 iputils-ping curl',
  },
  mount: {
    isThere: () => hasCommand('unshare') && succeeds('unshare', ['--mount', 'true']),
    hint: 'run as root',
  },
  nft: packaged('nft', 'nftables'),
  ping: packaged('ping', 'iputils-ping'),
  iperf3: packaged('iperf3'),
  tcpdump: packaged('tcpdump'),
  conntrack: packaged('conntrack'),
  faketime: packaged('faketime'),
  curl: packaged('curl'),
  chromium: packaged('chromium'),
  iptables: packaged('iptables'),
  openssl: packaged('openssl'),
  'systemd-analyze': packaged('systemd-analyze', 'systemd'),
  'systemd-resolved': {
    isThere: () => hasCommand('dbus-daemon') && isPackageKnown('systemd-resolved'),
    hint: 'on Debian: apt-get update, and apt-get install systemd dbus-daemon',
  },
  openresolv: {
    isThere: () => ['openresolv', 'dnsmasq-base'].every(isPackageKnown),
    hint: 'on Debian: apt-get update',
  },
  python3: packaged('python3'),
  miniupnpd: packaged('miniupnpd', 'miniupnpd-nftables'),
  nebula: packaged('nebula'),
  tinc: packaged('tincd', 'tinc'),
  n2n: packaged('edge', 'n2n'),
  'docker-compose': packaged('docker-compose'),
  etcd: packaged('etcd', 'etcd-server'),
  glewlwyd: {
    isThere: () => GLEWLWYD_LIBRARIES.every(hasLibrary) && isPackageKnown('glewlwyd'),
    hint: 'on Debian 12: apt-get update, and apt-get install libhoel1.4 libulfius2.7 libiddawc1.1 liboath0 libconfig9 libcbor0.8 libldap-2.5-0',
  },
  tun: { isThere: () => isAccessible('/dev/net/tun'), hint: '/dev/net/tun must be there' },
  'wasm-clang': {
    isThere: () =>
      ['clang-14', 'wasm-ld-14', 'curl', 'patch', 'xz'].every(hasCommand) &&
      isAccessible('/usr/include/wasm32-wasi/stdlib.h') &&
      isAccessible('/usr/lib/llvm-14/lib/clang/14.0.6/lib/wasi/libclang_rt.builtins-wasm32.a'),
    hint: 'on Debian 12: apt-get install clang-14 lld-14 wasi-libc libclang-rt-14-dev-wasm32 curl patch xz-utils',
  },
  'debian-mirror': {
    isThere: () =>
      succeeds('curl', [
        '--fail',
        '--silent',
        '--head',
        'http://deb.debian.org/debian/dists/stable/Release',
      ]),
    hint: 'a way to http://deb.debian.org',
  },
} satisfies Record<string, Means>

export type Need = keyof typeof MEANS

/** Ends the process, counted as skipped, unless all of it is there. Call it before anything else.
 *  A line that starts with SKIP_MARK tells the runner; its JSON is a Skip. */
export function needs(...of: readonly Need[]): true {
  const missing = of.filter((need) => !MEANS[need].isThere())
  if (missing.length === 0) return true
  const hints = missing.map((need) => `${need} (${MEANS[need].hint})`)
  const skip: Skip = { needs: missing, reason: `needs ${hints.join(', ')}` }
  process.stdout.write(`${SKIP_MARK}${JSON.stringify(skip)}\n`)
  process.exit(0)
}

function packaged(command: string, debianPackage = command): Means {
  return { isThere: () => hasCommand(command), hint: `apt-get install ${debianPackage}` }
}

function hasCommand(name: string): boolean {
  const folders = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin:/usr/local/sbin`.split(':')
  return folders.some((folder) => isAccessible(`${folder}/${name}`, constants.X_OK))
}

function hasLibrary(name: string): boolean {
  const { stdout } = spawnSync('/sbin/ldconfig', ['-p'], { encoding: 'utf8' })
  return stdout?.includes(`\t${name} `) ?? false
}

function isAccessible(path: string, mode: number = constants.F_OK): boolean {
  try {
    accessSync(path, mode)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error) return false
    throw error
  }
}

/** Bits of the effective set (capabilities(7)). */
const CAP_NET_ADMIN = 12n
const CAP_SYS_ADMIN = 21n

function hasCapability(bit: bigint): boolean {
  const status = readFileSync('/proc/self/status', 'utf8')
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'
  return ((BigInt(`0x${effective}`) >> bit) & 1n) === 1n
}

function succeeds(command: string, args: readonly string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore', timeout: 10_000 }).status === 0
}

/** Of a machine in software, with a kernel that is downloaded when it is first needed. */
function canRunGuest(): boolean {
  const programs = ['qemu-system-x86_64', 'cpio', 'depmod', 'dpkg-deb', 'apt-get']
  const inside = ['ip', 'nft', 'wg', 'ping', 'curl', 'modprobe', 'sysctl']
  return process.arch === 'x64' && [...programs, ...inside].every(hasCommand) && isKernelKnown()
}

/** Does this host's kernel have it, and may we use it? */
export function hasKernelWireguard(): boolean {
  const name = `nxk${process.pid}`
  if (!succeeds('ip', ['link', 'add', name, 'type', 'wireguard'])) return false
  return succeeds('ip', ['link', 'del', name])
}
