/** Delay and loss on the access links of a laboratory: packets wait in netfilter queues (see delay.py). */
import { join } from 'node:path'
import type { SiteOptions } from './ground.ts'
import type { Namespace, Running } from './namespace.ts'

/** Undefined where no site asks for delay or loss. */
export async function startDelay(
  core: Namespace,
  sites: readonly SiteOptions[],
  folder: string,
): Promise<Running | undefined> {
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
  const daemon = core.spawn(join(folder, 'delay.log'), 'python3', ['-u', script, ...links])
  await Promise.all([
    ...['iptables-restore', 'ip6tables-restore'].map((command) => core.feed(table, command)),
    daemon.waitFor(/ready/),
  ])
  return daemon
}

function queue(number: number): string {
  return `-j NFQUEUE --queue-num ${number} --queue-bypass`
}
