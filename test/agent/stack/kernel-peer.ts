/** The kernel's TCP/IP as the peer of a stack: a network namespace with a TUN interface, and programs in it. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { FAR, NEAR } from '../../../simulations/world/stack-pair.ts'

const TUN = fileURLToPath(new URL('tun.py', import.meta.url))

export interface KernelPeer extends AsyncDisposable {
  write(packet: Uint8Array): void
  /** Runs a program in the namespace. */
  start(command: string, ...words: readonly string[]): ChildProcess
}

/** The kernel has the far side's addresses. */
export async function startKernelPeer(
  name: string,
  onPacket: (packet: Uint8Array) => void,
): Promise<KernelPeer> {
  const ip = (...words: readonly string[]) => execFileSync('ip', words, { stdio: 'pipe' })
  const inside = (...words: readonly string[]) => ip('-n', name, ...words)
  ip('netns', 'add', name)
  const children = new Set<ChildProcess>()
  const start = (command: string, ...words: readonly string[]): ChildProcess => {
    const child = spawn('ip', ['netns', 'exec', name, command, ...words], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    children.add(child)
    return child
  }
  const tun = start('python3', TUN, 'tun0')
  const { stdin, stdout } = tun
  if (stdin === null || stdout === null) throw new Error('no pipes')
  await eachPacket(stdout, onPacket)
  inside('link', 'set', 'lo', 'up')
  inside('link', 'set', 'tun0', 'mtu', '1420', 'up')
  inside('addr', 'add', `${FAR[4]}/24`, 'dev', 'tun0')
  inside('-6', 'addr', 'add', `${FAR[6]}/64`, 'dev', 'tun0', 'nodad')
  inside('route', 'replace', `${NEAR[4]}/32`, 'dev', 'tun0')
  return {
    start,
    write: (packet) => {
      if (!stdin.writableEnded) framed(stdin, packet)
    },
    [Symbol.asyncDispose]: async () => {
      stdin.end()
      for (const child of children) {
        if (child.exitCode !== null || child.signalCode !== null) continue
        const exit = once(child, 'exit')
        child.kill('SIGKILL')
        await exit
      }
      ip('netns', 'del', name)
    },
  }
}

function framed(to: Writable, packet: Uint8Array): void {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(packet.length)
  to.write(Buffer.concat([length, packet]))
}

/** Resolves when the interface is there. */
function eachPacket(from: Readable, onPacket: (packet: Uint8Array) => void): Promise<void> {
  let rest = Buffer.alloc(0)
  return new Promise((resolve) => {
    from.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk])
      while (rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE(0)) {
        const end = 2 + rest.readUInt16BE(0)
        const packet = rest.subarray(2, end)
        rest = rest.subarray(end)
        if (packet.length === 0) resolve()
        else onPacket(packet)
      }
    })
  })
}
