/** UDP sockets in network namespaces, each a process. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Namespace } from '../tunnel/namespaces.ts'

const sockets: UdpSocket[] = []

export interface UdpSocket {
  readonly process: ChildProcess
  /** What arrived: `ADDRESS PORT HEX`. */
  readonly received: string[]
  send(address: string, port: number, hex: string): Promise<void>
}

export async function udpSocket(host: Namespace, port: number, type = 'udp4'): Promise<UdpSocket> {
  const script = fileURLToPath(new URL('udp-process.ts', import.meta.url))
  const child = spawn('ip', ['netns', 'exec', host.name, process.execPath, script, type, `${port}`])
  const lines = createInterface({ input: child.stdout })
  await once(lines, 'line')
  const received: string[] = []
  lines.on('line', (line) => received.push(line))
  const socket = {
    process: child,
    received,
    async send(address: string, to: number, hex: string) {
      child.stdin.write(`${address} ${to} ${hex}\n`)
      await sleep(100)
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
