/** Throughput of devices with TCP/IP inside beside one with an interface, over paths with delay and loss: kernel TCP in
 *  a stock wireguard-go at the other end of each, iperf3 through both. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { generateAgreementKeyPair } from '../../crypto/agreement.ts'
import { createLab, type Lab } from '../lab/lab.ts'
import { cpuSeconds } from '../lab/processes.ts'
import { type Place, type Product, SERVICE_PORT, startInterface } from './userspace-devices.ts'

export interface PathsOptions {
  readonly products: readonly Product[]
  /** Round trips, milliseconds. */
  readonly delays: readonly number[]
  /** Percent, each way. */
  readonly losses: readonly number[]
  readonly streams: readonly number[]
  /** Of each measurement, after two to settle. */
  readonly seconds: number
  readonly onFigures: (figures: PathFigures) => void
}

export interface PathCell {
  readonly roundTripMs: number
  readonly lossPercent: number
  readonly streams: number
  /** Of the data, as the device sees it. */
  readonly direction: 'in' | 'out'
}

export interface PathFigures extends PathCell {
  readonly product: string
  /** Received; NaN where iperf3 failed. */
  readonly mbits: number
  /** Of the device's process, for each packet that its peer sent or received; of a device with an interface without
   *  the kernel's TCP. */
  readonly microseconds: number
  /** Largest resident memory of the process so far, MB. */
  readonly memory: number
}

const DIRECTIONS = ['in', 'out'] as const
const SETTLE_SECONDS = 2
const REPORT = z.object({
  end: z.object({ sum_received: z.object({ bits_per_second: z.number() }) }),
})

export async function comparePaths(options: PathsOptions): Promise<readonly PathFigures[]> {
  const all: PathFigures[] = []
  for (const roundTripMs of options.delays)
    for (const lossPercent of options.losses) {
      using lab = await createLab({
        sites: [{ kind: 'public', delayMs: roundTripMs / 2, lossPercent }, { kind: 'public' }],
      })
      for (const product of options.products)
        for (const figures of await onePath(lab, product, { roundTripMs, lossPercent }, options))
          all.push(figures)
    }
  return all
}

async function onePath(
  lab: Lab,
  product: Product,
  path: Pick<PathCell, 'roundTripMs' | 'lossPercent'>,
  { streams, seconds, onFigures }: PathsOptions,
): Promise<readonly PathFigures[]> {
  const [own, peer] = [placeOf(lab, 1), placeOf(lab, 2)]
  const { folder } = lab
  const device = await product.start({ own, peer, folder })
  const other = await startInterface(peer, own, folder, lab.host(1).address)
  const words = ['--server', '--port', `${SERVICE_PORT}`, '--forceflush']
  const service = own.namespace.spawn(join(folder, 'iperf3.log'), 'iperf3', words)
  await service.waitFor(/listening/)
  const all: PathFigures[] = []
  for (const count of streams)
    for (const direction of DIRECTIONS) {
      const cell = { ...path, streams: count, direction }
      const figures = await measured(product.name, device.child.pid ?? 0, own, peer, cell, seconds)
      onFigures(figures)
      all.push(figures)
    }
  for (const running of [service, other, device]) await running.stop()
  return all
}

/** Addresses and names of one of the two. */
function placeOf(lab: Lab, site: 1 | 2): Place {
  return {
    namespace: lab.host(site).namespace,
    keys: generateAgreementKeyPair(),
    address: `100.64.0.${site}`,
    device: `${lab.prefix}w${site}`,
  }
}

async function measured(
  product: string,
  pid: number,
  own: Place,
  peer: Place,
  cell: PathCell,
  seconds: number,
): Promise<PathFigures> {
  const before = { cpu: cpuSeconds(pid), packets: await packetsOf(peer) }
  const words = [
    ...['--client', own.address, '--port', `${SERVICE_PORT}`, '--json'],
    ...['--time', `${seconds}`, '--omit', `${SETTLE_SECONDS}`, '--parallel', `${cell.streams}`],
    ...(cell.direction === 'out' ? ['--reverse'] : []),
  ]
  const { stdout, status } = await peer.namespace.attempt('iperf3', ...words)
  const cpu = cpuSeconds(pid) - before.cpu
  const packets = (await packetsOf(peer)) - before.packets
  // What is under way still belongs to this measurement.
  await sleep(500)
  const report = status === 0 ? REPORT.safeParse(JSON.parse(stdout)).data : undefined
  return {
    ...cell,
    product,
    mbits: (report?.end.sum_received.bits_per_second ?? Number.NaN) / 1e6,
    microseconds: (cpu * 1e6) / Math.max(1, packets),
    memory: largestMemory(pid),
  }
}

/** Through its interface, both ways. */
async function packetsOf({ namespace, device }: Place): Promise<number> {
  const files = ['rx', 'tx'].map((way) => `/sys/class/net/${device}/statistics/${way}_packets`)
  const said = await namespace.exec('cat', ...files)
  return said
    .trim()
    .split('\n')
    .reduce((sum, line) => sum + Number(line), 0)
}

/** proc_pid_status(5), VmHWM, in MB. */
function largestMemory(pid: number): number {
  const kilobytes = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kilobytes) / 1024
}
