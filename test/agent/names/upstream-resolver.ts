/** Upstream resolver: what a router's network has, in this process, on loopback. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { type Answer, decode, encode } from 'dns-packet'
import { framed } from '../../../agent/names/tcp-queries.ts'
import { type Endpoint, parseIpAddress } from '../../../protocol/address.ts'

const address = parseIpAddress('127.0.0.1')

export type Change = (answer: Buffer, asked: Buffer) => readonly Buffer[]

/** A resolver that gives every name addresses, whatever it is asked, by UDP and by TCP. */
export async function upstream({
  udp: change = (answer) => [answer],
  tcp = (answer) => answer,
  rcode = 0,
  ttl = 60,
  records = 1,
  data = (index) => `10.9.8.${index + 1}`,
}: {
  readonly udp?: Change
  readonly tcp?: (answer: Buffer) => Buffer
  readonly rcode?: number
  readonly ttl?: number
  readonly records?: number
  readonly data?: (index: number, name: string) => string
} = {}): Promise<AsyncDisposable & { at: Endpoint; asked: string[]; names: string[] }> {
  const asked: string[] = []
  const names: string[] = []
  const answerTo = (bytes: Buffer, by: string): Buffer => {
    const { id = 0, questions = [] } = decode(bytes)
    const name = questions[0]?.name ?? ''
    asked.push(by)
    names.push(name)
    const answers: Answer[] = Array.from({ length: rcode === 0 ? records : 0 }, (_, index) => ({
      type: 'A',
      name,
      ttl,
      data: data(index, name),
    }))
    const flags = 0x0180 | rcode
    return encode({ type: 'response', id, flags, questions, answers })
  }
  const udp = createSocket('udp4')
  udp.on('message', (bytes, from) => {
    for (const answer of change(answerTo(bytes, 'udp'), bytes))
      udp.send(answer, from.port, from.address)
  })
  udp.bind(0, address)
  await once(udp, 'listening')
  const { port } = udp.address()
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', (chunk) => socket.write(framed(tcp(answerTo(chunk.subarray(2), 'tcp')))))
  })
  server.listen(port, address)
  await once(server, 'listening')
  return {
    at: { address, port },
    asked,
    names,
    [Symbol.asyncDispose]: async () => {
      udp.close()
      server.close()
    },
  }
}
