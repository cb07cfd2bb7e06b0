/** Ping: round trips to an overlay address, by the host's `ping`, or by the stack inside where there is no interface. */
import { execFile } from 'node:child_process'
import { parseIpAddress } from '../protocol/address.ts'
import type { Clock } from '../protocol/clock.ts'
import { ControlError } from './control/reports.ts'
import type { Stack } from './stack/stack.ts'

/** Between requests, and until one is taken for lost. */
const [INTERVAL_MS, TIMEOUT_MS] = [200, 2000]

/** Milliseconds of each answer that came. Throws ControlError where nothing can ping. */
export function pingTimes(
  address: string,
  count: number,
  { inside, clock }: { readonly inside?: Stack | undefined; readonly clock: Clock },
): Promise<readonly number[]> {
  return inside === undefined ? byCommand(address, count) : byStack(inside, clock, address, count)
}

async function byStack(
  stack: Stack,
  clock: Clock,
  address: string,
  count: number,
): Promise<readonly number[]> {
  const to = parseIpAddress(address)
  const asked = Array.from({ length: count }, async (_, index) => {
    await clock.sleep(index * INTERVAL_MS)
    // Unanswered, unreachable or refused: it did not come back.
    return stack.ping(to, TIMEOUT_MS).catch(() => undefined)
  })
  return (await Promise.all(asked)).filter((ms) => ms !== undefined)
}

function byCommand(address: string, count: number): Promise<readonly number[]> {
  return new Promise((resolve, reject) => {
    const [interval, timeout] = [INTERVAL_MS, TIMEOUT_MS].map((ms) => String(ms / 1000))
    const args = ['-n', '-c', String(count), '-i', interval ?? '', '-W', timeout ?? '', address]
    execFile('ping', args, (error, stdout) => {
      if (error !== null && 'code' in error && error.code === 'ENOENT') {
        reject(new ControlError(409, 'ping is not installed (apt-get install iputils-ping)'))
      } else resolve([...stdout.matchAll(/time=([\d.]+) ms/g)].map(([, ms]) => Number(ms)))
    })
  })
}
