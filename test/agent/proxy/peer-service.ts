/** Services of a plain WireGuard peer, in a process of their own: at each address of the command line, port 9000, TCP says
 *  `from the peer` and ends, UDP sends back what comes. It says `ready`, and ends with its input. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'

const PORT = 9000
for (const address of process.argv.slice(2)) {
  const server = createServer((socket) => void socket.end('from the peer\n'))
  server.listen(PORT, address)
  const udp = createSocket(address.includes(':') ? 'udp6' : 'udp4')
  udp.on('message', (datagram, from) => udp.send(datagram, from.port, from.address))
  udp.bind(PORT, address)
  await Promise.all([once(server, 'listening'), once(udp, 'listening')])
}
process.stdout.write('ready\n')
process.stdin.resume()
process.stdin.once('end', () => process.exit(0))
