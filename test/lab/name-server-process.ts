/** A resolver of the organization's: it gives every name one address, from this address on. */
import { createSocket } from 'node:dgram'
import { decode, encode } from 'dns-packet'

const [address = '', data = ''] = process.argv.slice(2)
const socket = createSocket('udp4')
socket.on('message', (bytes, from) => {
  const { id = 0, questions = [] } = decode(bytes)
  const [question] = questions
  if (question === undefined) return
  const answers =
    question.type === 'A' ? [{ type: 'A' as const, name: question.name, ttl: 1, data }] : []
  socket.send(
    encode({ type: 'response', id, flags: 0x0180, questions, answers }),
    from.port,
    from.address,
  )
})
socket.bind(53, address, () => process.stdout.write('listening\n'))
