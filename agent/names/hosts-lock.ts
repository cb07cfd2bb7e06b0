/** Hosts lock: one process at a time reads and writes a hosts file, whichever organizations of a host they are of. */
import { createServer, type Server } from 'node:net'
import { systemClock as clock } from '../system-clock.ts'

/** Milliseconds after which a change is made all the same: whoever has the lock may never give it back. */
const PATIENCE_MS = 3000
const RETRY_MS = 10
/** Characters of the path in the lock's name (unix(7), sun_path). */
const LONGEST = 80

/** The lock is a socket in the abstract namespace: the kernel gives it back when its process ends, however. */
export async function whileLocked<T>(file: string, act: () => Promise<T>): Promise<T> {
  const startedMs = clock.monotonicMs()
  let server = await taken(`\0nexodus-file:${file.slice(-LONGEST)}`)
  while (server === undefined && clock.monotonicMs() - startedMs < PATIENCE_MS) {
    await clock.sleep(RETRY_MS)
    server = await taken(`\0nexodus-file:${file.slice(-LONGEST)}`)
  }
  try {
    return await act()
  } finally {
    server?.close()
  }
}

function taken(name: string): Promise<Server | undefined> {
  const { promise, resolve } = Promise.withResolvers<Server | undefined>()
  const server = createServer((socket) => socket.destroy())
  server.once('error', () => resolve(undefined))
  server.listen(name, () => resolve(server))
  return promise
}
