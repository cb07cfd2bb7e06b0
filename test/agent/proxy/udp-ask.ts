/** Asks by UDP until it is answered, once a second: `udp-ask ADDRESS PORT TEXT` prints what comes back. */
import { createSocket } from 'node:dgram'

const [address = '', port = '', text = ''] = process.argv.slice(2)
const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
const ask = (): void => socket.send(text, Number(port), address)
socket.on('message', (datagram) => {
  process.stdout.write(`${datagram}\n`)
  process.exit(0)
})
ask()
setInterval(ask, 1000)
setTimeout(() => process.exit(1), 30_000)
