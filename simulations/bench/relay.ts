/** Throughput by a relay, over UDP and over TCP, beside a direct path: same lab, same hosts, in turn.
 *
 *    npm run bench:relay -- --rounds 3 --seconds 3
 *
 *  Three pairs of hosts behind NATs of different kinds, one relay: a pair that no hole leads to and that is
 *  relayed by UDP, one that may only speak TCP, and one with a direct path. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Command, Option } from 'commander'
import { z } from 'zod'
import { columns } from '../../agent/columns.ts'
import type { LabAgent } from '../lab/agent.ts'
import { ping, untilAnswered } from '../lab/ping.ts'
import { startScene, until } from '../lab/scene.ts'
import { median } from '../statistics.ts'

const OPTIONS = z.object({
  rounds: z.coerce.number().int().min(1).max(50),
  seconds: z.coerce.number().int().min(1).max(60),
  out: z.string(),
})
const { rounds, seconds, out } = OPTIONS.parse(
  new Command('bench:relay')
    .description('iperf3 by a relay over UDP, by a relay over TCP, and directly, in turn.')
    .addOption(new Option('--rounds <n>').default('3'))
    .addOption(new Option('--seconds <n>', 'of each measurement, three a round').default('3'))
    .addOption(new Option('--out <folder>', 'where the JSON goes').default('results'))
    .parse()
    .opts(),
)

const WAYS = ['relay by UDP', 'relay by TCP', 'direct'] as const
type WayName = (typeof WAYS)[number]
interface Pair {
  readonly left: LabAgent
  readonly right: LabAgent
  readonly address: string
}
interface Measured {
  readonly megabits: number
  readonly roundTripMs: number
}

const RATE = ['--relay-rate', '10000:10000']
const PORTS = ['--mesh-listen', '/ip4/0.0.0.0/tcp/51822', '/ip4/0.0.0.0/tcp/443']
const kinds = ['public', 'public', 'symm', 'symm', 'udpblock', 'udpblock', 'port', 'port'] as const
const scene = await startScene({
  sites: kinds.map((kind) => ({ kind })),
  registrySite: 1,
  registryPort: 443,
  registryExtra: RATE,
  agents: {
    hub: { site: 2, extra: [...RATE, ...PORTS] },
    ...{ 'udp-left': { site: 3 }, 'udp-right': { site: 4 } },
    ...{ 'tcp-left': { site: 5 }, 'tcp-right': { site: 6 } },
    ...{ 'direct-left': { site: 7 }, 'direct-right': { site: 8 } },
  },
  enrol: 'key',
  narrate: (line) => process.stdout.write(`${line}\n`),
})
const pairs: Readonly<Record<WayName, Pair>> = {
  'relay by UDP': await pairOf('udp'),
  'relay by TCP': await pairOf('tcp'),
  direct: await pairOf('direct'),
}

const results: Record<WayName, Measured>[] = []
for (let round = 1; round <= rounds; round += 1) {
  // Each round begins with another: what drifts on the machine meanwhile does the same to all.
  const order = WAYS.map((_, index) => WAYS[(index + round) % WAYS.length] ?? 'direct')
  const result: Partial<Record<WayName, Measured>> = {}
  for (const way of order) result[way] = await measure(way)
  results.push(result as Record<WayName, Measured>)
  const text = WAYS.map((way) => `${way} ${result[way]?.megabits.toFixed(0)}`).join(', ')
  process.stdout.write(`round ${round}: ${text} Mbit/s\n`)
}

const rows = WAYS.map((way) => {
  const all = results.map((result) => result[way])
  const ratios = results.map((result) => result[way].megabits / result.direct.megabits)
  return [
    way,
    median(all.map(({ megabits }) => megabits)).toFixed(0),
    median(all.map(({ roundTripMs }) => roundTripMs)).toFixed(2),
    `${median(ratios).toFixed(2)} (${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)})`,
  ]
})
const udpToTcp = results.map(
  (result) => result['relay by UDP'].megabits / result['relay by TCP'].megabits,
)
process.stdout.write(
  `\n${columns(['path', 'Mbit/s', 'idle RTT ms', 'ratio to direct'], rows)}\n\nratio relay by UDP : relay by TCP, median of rounds: ${median(udpToTcp).toFixed(2)}\n`,
)
await mkdir(out, { recursive: true })
await writeFile(
  join(out, 'relay.json'),
  JSON.stringify({ rounds, seconds, udpToTcp, results }, undefined, 1),
)
await scene.stop()
process.exit(0)

async function pairOf(name: string): Promise<Pair> {
  const [left, right] = [scene.agent(`${name}-left`), scene.agent(`${name}-right`)]
  const address = (await right.addresses())[0] ?? ''
  await untilAnswered(left.host.namespace, address, 60_000)
  return { left, right, address }
}

/** Throws where the pair is not reached as it is meant to be. */
async function measure(way: WayName): Promise<Measured> {
  const { left, right, address } = pairs[way]
  const warm = ping(left.host.namespace, address, { count: 600, intervalMs: 50 })
  await until(`${left.name}: ${way}`, 30_000, async () => (await wayOf(left, right)) === way)
  const server = right.host.namespace.spawn(join(scene.lab.folder, 'iperf3.log'), 'iperf3', [
    ...['-s', '-1', '--forceflush', '-B', address],
  ])
  await server.waitFor(/listening/)
  const report = await left.host.namespace.exec(
    ...(['iperf3', '-J', '-O', '1', '-t', String(seconds), '-c', address] as const),
  )
  const { end } = z
    .object({ end: z.object({ sum_received: z.object({ bits_per_second: z.number() }) }) })
    .parse(JSON.parse(report))
  await server.stop()
  if ((await wayOf(left, right)) !== way) throw new Error(`${left.name}: no more ${way}`)
  await left.host.namespace.attempt('pkill', '-INT', '-f', `ping.*${address}`)
  await warm
  const { timesMs } = await ping(left.host.namespace, address, { count: 20, intervalMs: 50 })
  return { megabits: end.sum_received.bits_per_second / 1e6, roundTripMs: median(timesMs) }
}

async function wayOf(left: LabAgent, right: LabAgent): Promise<WayName | undefined> {
  const peer = await left.peer(right.name)
  if (peer?.path === 'direct') return 'direct'
  if (peer?.relay === undefined) return undefined
  return peer.relay.by === 'udp' ? 'relay by UDP' : 'relay by TCP'
}
