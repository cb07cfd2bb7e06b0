/** Stack: what the TCP/IP stack inside the process carries over a path with delay and losses.
 *
 *    npm run bench:stack -- --rate 400 --queue 90
 *
 *  Two stacks, nothing encrypted, in virtual time: the path bounds them, not the processor. The path's queue is as long
 *  as the UDP buffer of a peer. The last column is real: processor time of both stacks for each packet. */
import { Command, Option } from 'commander'
import { z } from 'zod'
import { columns } from '../../agent/columns.ts'
import type { Stack } from '../../agent/stack/stack.ts'
import { machine } from '../machine.ts'
import { readOptions } from '../options.ts'
import { FAR, newPair, pattern } from '../world/stack-pair.ts'

const options = readOptions(
  new Command('bench:stack')
    .description('Throughput of the stack inside the process by delay and loss, in virtual time.')
    .addOption(new Option('--rate <Mbit/s>', 'of the path').default('400'))
    .addOption(new Option('--queue <packets>', "the path's").default('90'))
    .addOption(new Option('--seconds <n>', 'measured, after 5 to settle').default('10'))
    .addOption(new Option('--delays <ms,…>', 'round trips of the path').default('0,20,50'))
    .addOption(new Option('--losses <%,…>', 'of the path, each way').default('0,0.1,1'))
    .addOption(new Option('--streams <n,…>', 'connections at once').default('1,8'))
    .addOption(
      new Option('--jitter <ms>', 'by which a packet is late, at most; order stays').default('0'),
    )
    .addOption(
      new Option('--disorder <%>', 'of packets that come up to 5 ms after others').default('0'),
    )
    .addOption(new Option('--rivals <n>', 'connections with CUBIC on the same path').default('0'))
    .addOption(new Option('--seed <n>', 'of losses').default('1')),
  z.object({
    rate: z.coerce.number().min(1).max(10_000),
    queue: z.coerce.number().int().min(1).max(10_000),
    seconds: z.coerce.number().int().min(1).max(3600),
    delays: numbers(z.number().min(0).max(1000)),
    losses: numbers(z.number().min(0).max(50)),
    streams: numbers(z.number().int().min(1).max(128)),
    jitter: z.coerce.number().min(0).max(1000),
    disorder: z.coerce.number().min(0).max(100),
    rivals: z.coerce.number().int().min(0).max(128),
    seed: z.coerce.number().int(),
  }),
)

interface Figures {
  readonly mbits: number
  /** The least of the streams' shares to the largest. */
  readonly fairness: number
  /** Of the rivals together. */
  readonly rivalMbits: number
  readonly lostPercent: number
  readonly microseconds: number
}

function numbers(each: z.ZodType<number, number>) {
  return z
    .string()
    .transform((text) => text.split(',').map(Number))
    .pipe(z.array(each).min(1).max(16))
}

const sum = (all: readonly number[]): number => all.reduce((total, each) => total + each, 0)

/** Connections that send as much as they can; bytes that each brought. */
function floods(from: Stack, to: Stack, port: number, count: number): number[] {
  const received: number[] = []
  to.listenTcp(port, (connection) => {
    const index = received.push(0) - 1
    connection.on('data', (data: Buffer) => {
      received[index] = (received[index] ?? 0) + data.length
    })
    connection.on('error', () => {})
  })
  const data = pattern(64 * 1024)
  for (let index = 0; index < count; index += 1) {
    const connection = from.connectTcp({ address: FAR[4], port })
    const write = (): void => {
      while (connection.write(data)) void 0
    }
    connection.on('error', () => {}).on('drain', write)
    write()
  }
  return received
}

async function measure(roundTripMs: number, loss: number, streams: number): Promise<Figures> {
  const { rate, queue, seconds, seed, jitter, disorder } = options
  using pair = newPair({
    delayMs: roundTripMs / 2,
    jitterMs: jitter,
    disorder: disorder / 100,
    loss,
    rate: rate * 1e6,
    queue,
    seed,
  })
  const received = floods(pair.near, pair.far, 80, streams)
  const rivals = floods(pair.rival, pair.far, 81, options.rivals)
  await pair.clock.advance(5000)
  const before = {
    received: [...received],
    rivals: sum(rivals),
    sent: pair.out.sent,
    lost: pair.out.lost,
  }
  const cpu = process.cpuUsage()
  await pair.clock.advance(seconds * 1000)
  const { user, system } = process.cpuUsage(cpu)
  const shares = received.map((bytes, index) => bytes - (before.received[index] ?? 0))
  const sent = pair.out.sent - before.sent
  return {
    mbits: (sum(shares) * 8) / seconds / 1e6,
    rivalMbits: ((sum(rivals) - before.rivals) * 8) / seconds / 1e6,
    fairness: Math.min(...shares) / Math.max(...shares),
    lostPercent: (100 * (pair.out.lost - before.lost)) / sent,
    microseconds: (user + system) / sent,
  }
}

const rows: string[][] = []
for (const streams of options.streams)
  for (const roundTripMs of options.delays)
    for (const loss of options.losses) {
      const { mbits, rivalMbits, fairness, lostPercent, microseconds } = await measure(
        roundTripMs,
        loss / 100,
        streams,
      )
      rows.push([
        String(streams),
        `${roundTripMs} ms`,
        `${loss} %`,
        mbits.toFixed(1),
        ...(options.rivals > 0 ? [rivalMbits.toFixed(1)] : []),
        streams === 1 ? '-' : fairness.toFixed(2),
        `${lostPercent.toFixed(2)} %`,
        microseconds.toFixed(1),
      ])
    }
const header = [
  'STREAMS',
  'ROUND TRIP',
  'LOSS',
  'MBIT/S',
  ...(options.rivals > 0 ? [`${options.rivals} CUBIC`] : []),
  'LEAST:MOST',
  'LOST IN ALL',
  'CPU US/PACKET',
]
const { rate, queue, jitter, disorder, seconds, seed } = options
process.stdout.write(
  `${columns(header, rows)}\n\npath of ${rate} Mbit/s, queue of ${queue} packets of 1,420 bytes, jitter of ${jitter} ms, ` +
    `${disorder} % late; ${seconds} s of virtual time each, seed ${seed}; ${machine()}\n`,
)
