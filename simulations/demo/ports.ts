/** Ports that are free now, of UDP and TCP alike; the system chooses. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'

/** The last that nexd takes. */
const LAST = 65_534

/** All different. */
export async function freePorts(count: number): Promise<readonly number[]> {
  await using held = new AsyncDisposableStack()
  const ports: number[] = []
  while (ports.length < count) {
    const server = createServer()
    server.listen({ host: '127.0.0.1', port: 0 })
    await once(server, 'listening')
    held.defer(async () => {
      server.close()
      await once(server, 'close')
    })
    const address = server.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    if (port <= LAST && (await isFreeForUdp(port))) ports.push(port)
  }
  return ports
}

async function isFreeForUdp(port: number): Promise<boolean> {
  const socket = createSocket('udp4')
  try {
    socket.bind(port, '0.0.0.0')
    await once(socket, 'listening')
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') return false
    throw error
  } finally {
    socket.close()
  }
}
