/** UDP sockets in network namespaces, each a process. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Namespace } from '../tunnel/namespaces.ts'

const sockets: UdpSocket[] = []
/** After a datagram was sent, until it has arrived or never will: milliseconds, and more where the machine is so slow
 *  that a process takes long to start. */
const SETTLE_MS = 100
const SETTLE_OF_START = 1 / 3

export interface UdpSocket {
  readonly process: ChildProcess
  /** What arrived: `ADDRESS PORT HEX`. */
  readonly received: string[]
  send(address: string, port: number, hex: string): Promise<void>
}

export async function udpSocket(host: Namespace, port: number, type = 'udp4'): Promise<UdpSocket> {
  const script = fileURLToPath(new URL('udp-process.ts', import.meta.url))
  const spawnedMs = performance.now()
  const child = spawn('ip', ['netns', 'exec', host.name, process.execPath, script, type, `${port}`])
  const lines = createInterface({ input: child.stdout })
  await once(lines, 'line')
  const startMs = performance.now() - spawnedMs
  const received: string[] = []
  lines.on('line', (line) => received.push(line))
  const socket = {
    process: child,
    received,
    async send(address: string, to: number, hex: string) {
      child.stdin.write(`${address} ${to} ${hex}\n`)
      await sleep(Math.max(SETTLE_MS, startMs * SETTLE_OF_START))
    },
  }
  sockets.push(socket)
  return socket
}

/** Ends all that were opened. */
export async function endSockets(): Promise<void> {
  for (const { process: child } of sockets.splice(0)) {
    child.kill()
    await once(child, 'exit')
  }
}
