/** First ping: how long after both daemons start (enrolled before) does the first echo come back, and is
 *  a packet lost when the path changes from relay to direct?
 *
 *    npm run bench:first-ping -- --rounds 10
 *
 *  Two hosts behind port-restricted NATs, 40 ms of round trip; first with the registry, then without. One of them
 *  sends an echo every 50 ms, as in the measurements of the peers. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Command, Option } from 'commander'
import { z } from 'zod'
import { columns } from '../../agent/columns.ts'
import { firstAnswer, ping, untilAnswered } from '../lab/ping.ts'
import { startScene, TWO_NATS } from '../lab/scene.ts'
import { summary } from '../statistics.ts'

const { rounds, out } = z
  .object({ rounds: z.coerce.number().int().min(1).max(100), out: z.string() })
  .parse(
    new Command('bench:first-ping')
      .description('Milliseconds from the start of both daemons to the first answered ping.')
      .addOption(
        new Option('--rounds <n>', 'with the registry, and again without it').default('10'),
      )
      .addOption(new Option('--out <folder>', 'where the JSON goes').default('results'))
      .parse()
      .opts(),
  )

interface Round {
  readonly firstMs: number
  readonly directMs: number
  readonly lost: number
  readonly sent: number
}

const scene = await startScene({
  ...TWO_NATS,
  enrol: 'key',
  narrate: (line) => process.stdout.write(`${line}\n`),
})
const [laptop, phone] = [scene.agent('laptop'), scene.agent('phone')]
const [phone4 = ''] = await phone.addresses()
await untilAnswered(laptop.host.namespace, phone4)

async function measure(): Promise<Round> {
  await Promise.all([laptop.stop(), phone.stop()])
  const begunMs = Date.now()
  laptop.start()
  phone.start()
  // Lines are written when more important things are done: what counts is the time in them.
  const direct = laptop.process
    .waitFor(/"time":"([^"]+)","event":"peer.path-changed","peer":"phone","path":"direct"/)
    .then(([, time = '']) => Date.parse(time) - begunMs)
  const firstMs = await firstAnswer(laptop.host.namespace, phone4)
  const settling = ping(laptop.host.namespace, phone4, { count: 200, intervalMs: 10 })
  const directMs = await direct
  const { sent, received } = await settling
  return { firstMs, directMs, lost: sent - received, sent }
}

async function series(name: string): Promise<readonly Round[]> {
  const found: Round[] = []
  for (let round = 1; round <= rounds; round += 1) {
    const result = await measure()
    found.push(result)
    process.stdout.write(
      `${name} ${round}: first ping ${result.firstMs.toFixed(0)} ms, direct ${result.directMs.toFixed(0)} ms, ${result.lost} of ${result.sent} lost\n`,
    )
  }
  return found
}

const alive = await series('registry alive')
await scene.stopRegistry()
const dead = await series('registry dead')
const row = (name: string, found: readonly Round[]): readonly string[] => {
  const { p50, max } = summary(found.map(({ firstMs }) => firstMs))
  const lost = found.reduce((sum, each) => sum + each.lost, 0)
  return [
    name,
    p50.toFixed(0),
    max.toFixed(0),
    summary(found.map(({ directMs }) => directMs)).p50.toFixed(0),
    String(lost),
  ]
}
process.stdout.write(
  `\n${columns(['', 'first ping ms, median', 'worst', 'direct, median', 'packets lost'], [row('registry alive', alive), row('registry dead', dead)])}\n`,
)
await mkdir(out, { recursive: true })
await writeFile(join(out, 'first-ping.json'), JSON.stringify({ rounds, alive, dead }, undefined, 1))
await scene.stop()
process.exit(0)
