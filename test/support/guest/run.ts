/** A test file in a guest whose kernel has WireGuard: QEMU in software, with Debian's kernel. What the file prints this
 *  process prints, and it ends as the file did. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { processFolder } from '../../../simulations/shared-folder.ts'
import { writeInitrd } from './initrd.ts'
import { guestKernel } from './kernel.ts'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '')
const WATCH = fileURLToPath(new URL('../watch-uvu.ts', import.meta.url))
const MEMORY_MB = 1536
/** Always in software: a guest may hang on what /dev/kvm offers. One processor, without AVX and protection keys: else node
 *  ends now and then by SIGSEGV, or by a check of its compiler, where QEMU 7.2 emulates it. It is as fast as two. */
const MACHINE = [
  ...['-M', 'q35', '-accel', 'tcg', '-smp', '1', '-m', `${MEMORY_MB}`],
  ...['-cpu', 'max,avx=off,avx2=off,fma=off,f16c=off,pku=off'],
  ...['-nographic', '-no-reboot', '-nic', 'none'],
]
const KERNEL_WORDS = 'console=ttyS0 quiet loglevel=1 panic=-1 random.trust_cpu=on'
const [BEGIN, STATUS] = ['@@guest-begin', /^@@guest-status (\d+)$/]
/** Lines kept of what the machine said before the file began. */
const KEPT_LINES = 40

/** Exit status of the file; 1, with what the machine said, where it never came so far. */
export async function runInGuest(file: URL): Promise<number> {
  const folder = processFolder('nexodus-guest')
  const initrd = join(folder, 'initrd')
  const kernel = guestKernel()
  writeInitrd(initrd, { kernel, root: ROOT, file: fileURLToPath(file), watch: WATCH })
  const words = ['-kernel', kernel.image, '-initrd', initrd, '-append', KERNEL_WORDS]
  const child = spawn('qemu-system-x86_64', [...MACHINE, ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  process.once('SIGTERM', () => process.exit(143))
  process.once('exit', () => child.kill('SIGKILL'))
  const closed = once(child, 'close')
  const before: string[] = []
  let hasBegun = false
  let status: number | undefined
  for await (const line of createInterface({ input: child.stdout })) {
    const said = line.trimEnd()
    const ended = STATUS.exec(said)?.[1]
    // What comes after the status is the machine's own.
    if (status !== undefined) continue
    if (said === BEGIN) hasBegun = true
    else if (ended !== undefined) status = Number(ended)
    else if (hasBegun) process.stdout.write(`${said}\n`)
    else before.push(said)
  }
  await closed
  if (status !== undefined) return status
  process.stdout.write(`the guest ended too early:\n${before.slice(-KEPT_LINES).join('\n')}\n`)
  return 1
}
