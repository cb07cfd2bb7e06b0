/** Sends five datagrams of 1,452 bytes and one of 96 to itself by IPv4 and IPv6, twice, and prints the sizes that arrive. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { openUnderlay } from '../../../../agent/tunnel/userspace/underlay.ts'
import { parseEndpoint } from '../../../../protocol/address.ts'

const SIZES = [1452, 1452, 1452, 1452, 1452, 96]
const underlay = await openUnderlay({ port: 0, onDatagram: () => undefined, log: () => undefined })
for (const [type, host] of [
  ['udp4', '127.0.0.1'],
  ['udp6', '[::1]'],
] as const) {
  const receiver = createSocket(type)
  const sizes: number[] = []
  receiver.on('message', (datagram) => void sizes.push(datagram.length))
  receiver.bind(0)
  await once(receiver, 'listening')
  const to = parseEndpoint(`${host}:${receiver.address().port}`)
  for (let turn = 1; turn <= 2; turn += 1) {
    for (const size of SIZES) underlay.send([new Uint8Array(size)], to)
    for (let waited = 0; sizes.length < SIZES.length * turn && waited < 100; waited += 1) {
      await sleep(50)
    }
  }
  process.stdout.write(`${sizes.join(' ')}\n`)
  receiver.close()
}
process.exit(0)
