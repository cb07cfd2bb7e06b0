/** Delay and loss on the access links of a laboratory: packets wait in netfilter queues (see delay.py). */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { SiteOptions } from './ground.ts'
import type { Namespace, Running } from './namespace.ts'

export interface Delay {
  readonly running: Running
}

/** Undefined where no site asks for delay or loss. */
export async function startDelay(
  core: Namespace,
  sites: readonly SiteOptions[],
  folder: string,
): Promise<Delay | undefined> {
  const shaped = sites
    .map((site, index) => ({ n: index + 1, ms: site.delayMs ?? 0, loss: site.lossPercent ?? 0 }))
    .filter(({ ms, loss }) => ms > 0 || loss > 0)
  if (shaped.length === 0) return undefined
  const rules = shaped.flatMap(({ n }) => [
    `-A PREROUTING -i s${n} ${queue(n)}`,
    `-A POSTROUTING -o s${n} ${queue(100 + n)}`,
  ])
  const table = ['*mangle', ...rules, 'COMMIT']
  const script = new URL('delay.py', import.meta.url).pathname
  // The daemon starts while the rules are set: without it the packets pass.
  const links = shaped.map(({ n, ms, loss }) => `${n}:${ms}:${loss}`)
  const log = join(folder, 'delay.log')
  const daemon = core.spawn(log, 'python3', ['-u', script, ...links], {}, 'pipe')
  await Promise.all([
    ...['iptables-restore', 'ip6tables-restore'].map((command) => core.feed(table, command)),
    daemon.waitFor(/ready/),
  ])
  return { running: daemon }
}

/** Resolves when packets of the site that come from now on wait `ms`, without loss. */
export async function changeDelay({ running }: Delay, site: number, ms: number): Promise<void> {
  const told = running.lines.length
  running.child.stdin?.write(`${site}:${ms}:0\n`)
  const started = performance.now()
  while (!running.lines.slice(told).includes(`${site}:${ms}:0`)) {
    if (performance.now() - started > 5000) throw new Error(`no delay of ${ms} ms at site ${site}`)
    await sleep(2)
  }
}

function queue(number: number): string {
  return `-j NFQUEUE --queue-num ${number} --queue-bypass`
}
