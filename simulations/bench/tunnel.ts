/** Throughput of our tunnel beside WireGuard configured by hand: same lab, same hosts, in turn.
 *
 *    npm run bench:tunnel -- --rounds 5 --seconds 3
 *
 *  Both use wireguard-go between two public hosts without delay; what differs is who configured it. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Command, Option } from 'commander'
import { z } from 'zod'
import { columns } from '../../agent/columns.ts'
import { generateAgreementKeyPair, privateBytesOf } from '../../crypto/agreement.ts'
import { toBase64 } from '../../crypto/bytes.ts'
import type { Namespace } from '../lab/namespace.ts'
import { untilAnswered } from '../lab/ping.ts'
import { startScene, until } from '../lab/scene.ts'
import { median } from '../statistics.ts'

const OPTIONS = z.object({
  rounds: z.coerce.number().int().min(1).max(50),
  seconds: z.coerce.number().int().min(1).max(60),
  out: z.string(),
})
const { rounds, seconds, out } = OPTIONS.parse(
  new Command('bench:tunnel')
    .description('iperf3 through our tunnel and through WireGuard configured by hand, in turn.')
    .addOption(new Option('--rounds <n>').default('5'))
    .addOption(new Option('--seconds <n>', 'of each measurement, four a round').default('3'))
    .addOption(new Option('--out <folder>', 'where the JSON goes').default('results'))
    .parse()
    .opts(),
)

interface Measured {
  readonly megabits: number
  readonly roundTripMs: number
}

const scene = await startScene({
  sites: [{ kind: 'public' }, { kind: 'public' }, { kind: 'public' }],
  registrySite: 3,
  agents: { left: { site: 1 }, right: { site: 2 } },
  enrol: 'key',
  narrate: (line) => process.stdout.write(`${line}\n`),
})
const [left, right] = [scene.agent('left'), scene.agent('right')]
const ours = (await right.addresses())[0] ?? ''
await untilAnswered(left.host.namespace, ours)
await until('a direct path', 20_000, async () => (await left.peer('right'))?.path === 'direct')
const byHand = await configureByHand()
await untilAnswered(left.host.namespace, byHand)

/** Ours, by hand, by hand, ours: what drifts on the machine meanwhile does the same to both. */
const results: { ours: [Measured, Measured]; byHand: [Measured, Measured] }[] = []
for (let round = 1; round <= rounds; round += 1) {
  const first = await measure(ours)
  const inner: [Measured, Measured] = [await measure(byHand), await measure(byHand)]
  const result = { ours: [first, await measure(ours)] as [Measured, Measured], byHand: inner }
  results.push(result)
  process.stdout.write(`round ${round}: ours ${text(result.ours)}, by hand ${text(inner)} Mbit/s\n`)
}
const rows = (['ours', 'byHand'] as const).map((side) => {
  const all = results.flatMap((result) => result[side])
  const figure = (pick: (each: Measured) => number, digits: number): string =>
    median(all.map(pick)).toFixed(digits)
  const name = side === 'ours' ? 'ours' : 'by hand'
  return [name, figure(({ megabits }) => megabits, 0), figure(({ roundTripMs }) => roundTripMs, 2)]
})
const ratios = results.map((result) => sum(result.ours) / sum(result.byHand))
const ratio = median(ratios)
/** What the machine makes of one and the same tunnel: a ratio inside this range says nothing. */
const noise = results.map(({ byHand: [one, other] }) => one.megabits / other.megabits)
process.stdout.write(
  `\n${columns(['tunnel', 'Mbit/s', 'idle RTT ms'], rows)}\n\nratio ours : by hand, median of rounds: ${ratio.toFixed(2)} (${range(ratios)})\nby hand : by hand, in the same rounds: ${median(noise).toFixed(2)} (${range(noise)})\n`,
)
await mkdir(out, { recursive: true })
await writeFile(
  join(out, 'tunnel.json'),
  JSON.stringify({ rounds, seconds, ratio, ratios, noise, results }, undefined, 1),
)
await scene.stop()
process.exit(0)

function sum([one, other]: readonly [Measured, Measured]): number {
  return one.megabits + other.megabits
}

function text(pair: readonly Measured[]): string {
  return pair.map(({ megabits }) => megabits.toFixed(0)).join(' and ')
}

function range(values: readonly number[]): string {
  return `${Math.min(...values).toFixed(2)} to ${Math.max(...values).toFixed(2)}`
}

/** A second WireGuard between the same hosts, on another port, as wg(8) is used by hand. */
async function configureByHand(): Promise<string> {
  const sides = [left.host, right.host].map((host, index) => ({
    host,
    key: generateAgreementKeyPair(),
    device: `${scene.lab.prefix}b${index}`,
    address: `10.200.0.${index + 1}`,
  }))
  for (const [index, side] of sides.entries()) {
    const other = sides[1 - index]
    if (other === undefined) continue
    await startWireguardGo(side.host.namespace, side.device)
    const configuration = [
      '[Interface]',
      `PrivateKey = ${toBase64(privateBytesOf(side.key))}`,
      'ListenPort = 51900',
      '[Peer]',
      `PublicKey = ${toBase64(other.key.publicKey)}`,
      `AllowedIPs = ${other.address}/32`,
      `Endpoint = ${other.host.address}:51900`,
    ]
    const file = join(scene.lab.folder, `${side.device}.conf`)
    await writeFile(file, `${configuration.join('\n')}\n`, { mode: 0o600 })
    await side.host.namespace.exec('wg', 'setconf', side.device, file)
    await side.host.namespace.batch('ip', [
      `addr add ${side.address}/24 dev ${side.device}`,
      `link set ${side.device} mtu 1420 up`,
    ])
  }
  return sides[1]?.address ?? ''
}

async function startWireguardGo(namespace: Namespace, device: string): Promise<void> {
  namespace.spawn(join(scene.lab.folder, `${device}.log`), 'wireguard-go', ['-f', device], {
    WG_PROCESS_FOREGROUND: '1',
  })
  await until(
    `${device} is there`,
    5000,
    async () => (await namespace.attempt('wg', 'show', device)).status === 0,
  )
}

async function measure(address: string): Promise<Measured> {
  const server = right.host.namespace.spawn(join(scene.lab.folder, 'iperf3.log'), 'iperf3', [
    '-s',
    '-1',
    '--forceflush',
    '-B',
    address,
  ])
  await server.waitFor(/listening/)
  const report = z
    .object({ end: z.object({ sum_received: z.object({ bits_per_second: z.number() }) }) })
    .parse(
      JSON.parse(
        await left.host.namespace.exec(
          'iperf3',
          '-J',
          '-O',
          '1',
          '-t',
          String(seconds),
          '-c',
          address,
        ),
      ),
    )
  await server.stop()
  const idle = await left.host.namespace.exec('ping', '-n', '-q', '-c', '10', '-i', '0.05', address)
  return {
    megabits: report.end.sum_received.bits_per_second / 1e6,
    roundTripMs: Number(/= [\d.]+\/([\d.]+)\//.exec(idle)?.[1] ?? Number.NaN),
  }
}
