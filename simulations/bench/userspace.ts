/** Userspace: what a packet costs WireGuard inside the process, beside wireguard-go; and what TCP carries through it, and
 *  through what else needs no interface.
 *
 *    npm run bench:userspace -- --packets 100000 --bytes 1420
 *    npm run bench:userspace -- --packets 0 --delays 0,50 --losses 0 --streams 1,8 --products ours,interface
 *
 *  Two ends on loopback, each a process: one sends as fast as it can, the other counts. wireguard-go has an interface,
 *  in a network namespace that is removed afterwards; as anybody but root, or without it, its rows are left out. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Command, Option } from 'commander'
import { z } from 'zod'
import { columns } from '../../agent/columns.ts'
import { systemClock } from '../../agent/system-clock.ts'
import {
  type AgreementKeyPair,
  generateAgreementKeyPair,
  privateBytesOf,
} from '../../crypto/agreement.ts'
import { toBase64, toHex } from '../../crypto/bytes.ts'
import { machine } from '../machine.ts'
import { readOptions } from '../options.ts'
import { processFolder } from '../shared-folder.ts'
import { buildNetstack, INTERFACE, OURS, type Product } from './userspace-devices.ts'
import { comparePaths } from './userspace-paths.ts'
import { pathsTable } from './userspace-table.ts'
import { type EndConfig, FIGURES } from './userspace-words.ts'

const options = readOptions(
  new Command('bench:userspace')
    .description(
      'Processor time of a packet through WireGuard inside the process, and through wireguard-go.',
    )
    .addOption(new Option('--packets <n>', 'of each row').default('100000'))
    .addOption(new Option('--bytes <n>', 'of each packet').default('1420'))
    .addOption(new Option('--delays <ms,…>', 'round trips of the paths').default('0,20,50'))
    .addOption(new Option('--losses <%,…>', 'of the paths, each way').default('0,0.1,1'))
    .addOption(new Option('--streams <n,…>', 'TCP connections at once').default('1,8,32'))
    .addOption(new Option('--seconds <n>', 'of each measurement over a path').default('5'))
    .addOption(
      new Option('--products <name,…>', 'devices at the ends of paths').default(
        'ours,netstack,interface',
      ),
    )
    .addOption(new Option('--out <folder>', 'where the JSON goes').default('results')),
  z.object({
    // 0: none of these rows.
    packets: z.coerce
      .number()
      .int()
      .max(10_000_000)
      .refine((count) => count === 0 || count >= 1000, 'want 0, or 1000 and more'),
    bytes: z.coerce.number().int().min(28).max(1420),
    delays: numbers(z.number().min(0).max(1000)),
    losses: numbers(z.number().min(0).max(50)),
    streams: numbers(z.number().int().min(1).max(128)),
    seconds: z.coerce.number().int().min(1).max(300),
    products: z
      .string()
      .transform((text) => text.split(','))
      .pipe(z.array(z.enum(['ours', 'netstack', 'interface'])).min(1)),
    out: z.string(),
  }),
)

const SCRIPT = fileURLToPath(new URL('userspace-end.ts', import.meta.url))
const NAME = `nxb${process.pid}`
const PORTS = [52_001, 52_002] as const
const ADDRESSES = ['100.64.0.1', '100.64.0.2'] as const
const KEYS = [generateAgreementKeyPair(), generateAgreementKeyPair()] as const
/** Milliseconds without a packet after which none comes any more. */
const QUIET_MS = 300
/** Of a processor's time in /proc: ticks a second on Linux. */
const TICKS = 100

type Figures = z.output<typeof FIGURES>

/** One end, whatever carries it. */
interface End extends AsyncDisposable {
  readonly kind: string
  figures(): Promise<Figures>
  blast(count: number, bytes: number): Promise<void>
}

const hasOpponent =
  process.getuid?.() === 0 && existsSync('/dev/net/tun') && existsSync('/usr/bin/wireguard-go')
const prefix = hasOpponent ? ['ip', 'netns', 'exec', NAME] : []
if (hasOpponent) {
  execFileSync('ip', ['netns', 'add', NAME])
  process.once('exit', () => execFileSync('ip', ['netns', 'delete', NAME]))
  sh('ip link set lo up')
}
if (options.packets > 0) await packetTable()
if (hasOpponent) await pathTable()
else
  process.stdout.write(
    'wireguard-go, and with it paths, left out: needs root, /dev/net/tun and wireguard-go\n',
  )

async function packetTable(): Promise<void> {
  process.stdout.write(`${options.packets} packets of ${options.bytes} bytes a row; ${machine()}\n`)
  const header = ['from', 'to', 'arrived', 'Mbit/s', 'sender, µs of CPU a packet', 'receiver, µs']
  const rows = [
    await row(inside, inside),
    ...(hasOpponent ? [await row(inside, wireguardGo), await row(wireguardGo, inside)] : []),
  ]
  process.stdout.write(`${columns(header, rows)}\n`)
}

async function pathTable(): Promise<void> {
  const { delays, losses, streams, seconds, out } = options
  const products = chosenProducts()
  const figures = await comparePaths({
    ...{ products, delays, losses, streams, seconds },
    onFigures: (each) => process.stderr.write(`${JSON.stringify(each)}\n`),
  })
  process.stdout.write(
    `iperf3 of ${seconds} s, in and out of a device; µs of CPU a packet, most memory; the kernel's senders: ${congestionControl()}; ${machine()}\n${pathsTable(figures)}\n`,
  )
  mkdirSync(out, { recursive: true })
  const said = { machine: machine(), congestionControl: congestionControl(), seconds, figures }
  writeFileSync(join(out, 'userspace.json'), JSON.stringify(said, undefined, 1))
}

/** Of TCP in new network namespaces: with BBR a loss now and then costs nothing, with CUBIC much. */
function congestionControl(): string {
  return readFileSync('/proc/sys/net/ipv4/tcp_congestion_control', 'utf8').trim()
}

function chosenProducts(): readonly Product[] {
  const has = (name: (typeof options.products)[number]): boolean => options.products.includes(name)
  const netstack = has('netstack') ? buildNetstack(processFolder('nexodus-bench')) : undefined
  if (has('netstack') && netstack === undefined)
    process.stdout.write(
      'netstack left out: apt-get install golang-go golang-golang.zx2c4-wireguard-dev golang-gvisor-gvisor-dev\n',
    )
  return [
    ...(has('ours') ? [OURS] : []),
    ...(netstack === undefined ? [] : [netstack]),
    ...(has('interface') ? [INTERFACE] : []),
  ]
}

function numbers(each: z.ZodType<number, number>) {
  return z
    .string()
    .transform((text) => text.split(',').map(Number))
    .pipe(z.array(each).min(1).max(16))
}

type Start = (index: 0 | 1) => Promise<End>

async function row(from: Start, to: Start): Promise<string[]> {
  await using sender = await from(0)
  await using receiver = await to(1)
  // The session, and the compiler.
  await sender.blast(5000, options.bytes)
  await settled(receiver)
  const before = [await sender.figures(), await receiver.figures()] as const
  const beganMs = systemClock.monotonicMs()
  await sender.blast(options.packets, options.bytes)
  await settled(receiver)
  const seconds = (systemClock.monotonicMs() - beganMs - QUIET_MS) / 1000
  const after = [await sender.figures(), await receiver.figures()] as const
  const arrived = after[1].received - before[1].received
  const sent = after[0].sent - before[0].sent
  const spent = (index: 0 | 1): number => after[index].cpuMs - before[index].cpuMs
  return [
    sender.kind,
    receiver.kind,
    `${((arrived / sent) * 100).toFixed(1)} %`,
    ((arrived * options.bytes * 8) / seconds / 1e6).toFixed(0),
    ((spent(0) * 1000) / sent).toFixed(1),
    ((spent(1) * 1000) / Math.max(1, arrived)).toFixed(1),
  ]
}

async function settled(receiver: End): Promise<void> {
  let last = -1
  for (;;) {
    const { received } = await receiver.figures()
    if (received === last) return
    last = received
    await systemClock.sleep(QUIET_MS)
  }
}

async function inside(index: 0 | 1): Promise<End> {
  const [command = '', ...args] = [...prefix, process.execPath, SCRIPT]
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const ask = asker(child)
  const other = index === 0 ? 1 : 0
  const config: EndConfig = {
    privateKey: toHex(privateBytesOf(KEYS[index])),
    listenPort: PORTS[index],
    address: ADDRESSES[index],
    peerKey: toHex(KEYS[other].publicKey),
    peerAddress: ADDRESSES[other],
    endpoint: `127.0.0.1:${PORTS[other]}`,
  }
  await ask(JSON.stringify(config))
  return {
    kind: 'inside',
    figures: async () => FIGURES.parse(JSON.parse(await ask('figures'))),
    blast: async (count, bytes) => void (await ask(`blast ${count} ${bytes}`)),
    async [Symbol.asyncDispose]() {
      child.stdin?.end()
      await once(child, 'exit')
    },
  }
}

/** One question, one line. */
function asker(child: ChildProcess): (question: string) => Promise<string> {
  const { stdin, stdout } = child
  if (stdin === null || stdout === null) throw new Error('no pipes')
  const lines = createInterface({ input: stdout })[Symbol.asyncIterator]()
  return async (question) => {
    stdin.write(`${question}\n`)
    const { value } = await lines.next()
    return String(value)
  }
}

async function wireguardGo(index: 0 | 1): Promise<End> {
  const device = `${NAME}w`
  const [command = '', ...args] = [...prefix, 'wireguard-go', '-f', device]
  const child = spawn(command, args, {
    stdio: 'ignore',
    env: { ...process.env, LOG_LEVEL: 'error' },
  })
  const other = index === 0 ? 1 : 0
  sh(`until wg show ${device} >/dev/null 2>&1; do sleep 0.05; done
    wg setconf ${device} /dev/stdin <<EOF
${wgConfig(KEYS[index], index, other)}
EOF
    ip address add ${ADDRESSES[index]}/24 dev ${device}; ip link set ${device} mtu 1420 up`)
  const counter = (name: string): number =>
    Number(sh(`cat /sys/class/net/${device}/statistics/${name}`))
  return {
    kind: 'wireguard-go',
    figures: async () => ({
      // As the host sees its interface.
      sent: counter('tx_packets'),
      received: counter('rx_packets'),
      cpuMs: cpuMs(child.pid ?? 0),
    }),
    blast: async (count, bytes) => {
      const sender = `const s = require('dgram').createSocket('udp4'); const b = Buffer.alloc(${bytes - 28});
        const go = (n) => { for (let i = 0; i < 32 && n > 0; i++, n--) s.send(b, 9, '${ADDRESSES[other]}');
          if (n > 0) setImmediate(go, n); else setTimeout(() => s.close(), 200) }
        s.bind(0, () => go(${count}))`
      execFileSync(prefix[0] ?? '', [...prefix.slice(1), process.execPath, '-e', sender])
    },
    async [Symbol.asyncDispose]() {
      const exited = once(child, 'exit')
      child.kill()
      await exited
    },
  }
}

function wgConfig(keys: AgreementKeyPair, index: 0 | 1, other: 0 | 1): string {
  return `[Interface]
PrivateKey = ${toBase64(privateBytesOf(keys))}
ListenPort = ${PORTS[index]}
[Peer]
PublicKey = ${toBase64(KEYS[other].publicKey)}
AllowedIPs = ${ADDRESSES[other]}/32
Endpoint = 127.0.0.1:${PORTS[other]}`
}

/** User and system time of a process. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS
}

function sh(command: string): string {
  return execFileSync('ip', ['netns', 'exec', NAME, 'sh', '-ec', command], { encoding: 'utf8' })
}
