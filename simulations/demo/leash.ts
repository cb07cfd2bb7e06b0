/** Leash: a process that is started with `--import` of this file ends when its starter does, however that ended. The
 *  starter holds the other end of descriptor 3. */
import { Socket } from 'node:net'

/** For an orderly end. Milliseconds. */
const GRACE_MS = 3000

const held = new Socket({ fd: 3, readable: true, writable: false })
held.on('error', () => undefined)
held.once('close', () => {
  process.kill(process.pid, 'SIGTERM')
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), GRACE_MS).unref()
})
held.resume()
held.unref()
