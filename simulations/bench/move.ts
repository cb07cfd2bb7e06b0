/** Moving an address: how long a third host's pings go unanswered while a /32 moves between two devices.
 *
 *    npm run bench:move -- --rounds 10
 *
 *  Two devices behind port-restricted NATs hold it in turn, a public one pings it every 10 ms; 40 ms of
 *  round trip. Then a device is removed: how long until the others have dropped its tunnel? */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Command, Option } from 'commander'
import { z } from 'zod'
import { columns } from '../../agent/columns.ts'
import { ping, untilAnswered } from '../lab/ping.ts'
import { startScene, TWO_NATS, until } from '../lab/scene.ts'
import { summary } from '../statistics.ts'

const { rounds, out } = z
  .object({ rounds: z.coerce.number().int().min(1).max(100), out: z.string() })
  .parse(
    new Command('bench:move')
      .description(
        'Milliseconds of silence while a /32 moves, and until a removed device is dropped.',
      )
      .addOption(new Option('--rounds <n>', 'moves').default('10'))
      .addOption(new Option('--out <folder>', 'where the JSON goes').default('results'))
      .parse()
      .opts(),
  )

const PREFIX = '10.99.0.1/32'
const ADDRESS = '10.99.0.1'
/** Milliseconds of pings before and after the move. */
const AROUND_MS = 1500

const scene = await startScene({
  ...TWO_NATS,
  enrol: 'key',
  narrate: (line) => process.stdout.write(`${line}\n`),
})
const [hub, laptop, phone] = [scene.agent('hub'), scene.agent('laptop'), scene.agent('phone')]
for (const agent of [laptop, phone]) {
  await scene.grantPrefix(agent.name, PREFIX)
  await until(
    `${agent.name} may hold ${PREFIX}`,
    30_000,
    async () => (await agent.nexctl('route', 'advertise', PREFIX)).status === 0,
  )
}
await untilAnswered(hub.host.namespace, ADDRESS)

const silences: number[] = []
const losses: number[] = []
for (let round = 0; round < rounds; round += 1) {
  const next = round % 2 === 0 ? laptop : phone
  const pinging = ping(hub.host.namespace, ADDRESS, { count: (2 * AROUND_MS) / 10, intervalMs: 10 })
  await new Promise((resolve) => setTimeout(resolve, AROUND_MS / 2))
  await next.nexctl('route', 'advertise', PREFIX)
  const { longestSilenceMs, sent, received } = await pinging
  silences.push(longestSilenceMs)
  losses.push(sent - received)
  process.stdout.write(
    `to ${next.name}: silent for ${longestSilenceMs.toFixed(0)} ms, ${sent - received} of ${sent} lost\n`,
  )
}

const begun = performance.now()
await scene.removeDevice('phone')
const gone = async (agent: typeof hub): Promise<number> => {
  const { name } = agent.options
  await until(`${name} has dropped it`, 20_000, async () => {
    const { stdout } = await agent.host.namespace.attempt(
      'wg',
      'show',
      agent.options.interfaceName,
      'peers',
    )
    return stdout.trim().split('\n').length === 1
  })
  return performance.now() - begun
}
const dropped = await Promise.all([gone(hub), gone(laptop)])
const { p50, max } = summary(silences)
process.stdout.write(
  `\n${columns(
    ['', 'median', 'worst'],
    [
      ['silence while the /32 moves, ms', p50.toFixed(0), max.toFixed(0)],
      ['pings lost of 300', summary(losses).p50.toFixed(0), summary(losses).max.toFixed(0)],
      [
        'removal to tunnel gone, ms',
        Math.min(...dropped).toFixed(0),
        Math.max(...dropped).toFixed(0),
      ],
    ],
  )}\n`,
)
await mkdir(out, { recursive: true })
await writeFile(
  join(out, 'move.json'),
  JSON.stringify({ rounds, silences, losses, dropped }, undefined, 1),
)
await scene.stop()
process.exit(0)
