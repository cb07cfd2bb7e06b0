/** In a namespace: asks port 53 of each address, and says what became of it. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

const server = createSocket('udp4')
server.on('message', (bytes, { port, address }) => server.send(bytes, port, address))
server.bind(5353, '127.88.0.53')
await once(server, 'listening')

for (const address of process.argv.slice(2)) {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
  const fate = new Promise<string>((resolve) => {
    socket.on('message', () => resolve('ours'))
    socket.on('error', () => resolve('refused'))
  })
  socket.connect(53, address, () => socket.send('?', () => undefined))
  process.stdout.write(`${await Promise.race([fate, sleep(700, 'nothing')])}\n`)
  socket.close()
}
process.exit(0)
