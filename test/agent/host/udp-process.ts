/** A UDP socket in a namespace, for tests: `node udp-process.ts udp4|udp6 PORT`. Lines on standard input,
 *  `ADDRESS PORT HEX`, are sent; datagrams received are printed the same way. */
import { createSocket } from 'node:dgram'
import { createInterface } from 'node:readline'

const [type = '', port = ''] = process.argv.slice(2)
const socket = createSocket(type === 'udp6' ? { type: 'udp6', ipv6Only: true } : { type: 'udp4' })
socket.on('message', (datagram, from) => {
  process.stdout.write(`${from.address} ${from.port} ${datagram.toString('hex')}\n`)
})
socket.bind(Number(port), () => process.stdout.write('bound\n'))
createInterface({ input: process.stdin }).on('line', (line) => {
  const [address = '', to = '', hex = ''] = line.split(' ')
  socket.send(Buffer.from(hex, 'hex'), Number(to), address)
})
