/** What a program asks of a SOCKS listener on loopback, by name (RFC 1928). */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { SOCKS_COMMAND, SOCKS_REPLY } from '../../../agent/proxy/socks-messages.ts'
import { systemClock } from '../../../agent/system-clock.ts'

/** Bytes of a reply with an IPv4 address; of a datagram's head with one. */
const [REPLY_BYTES, HEAD_BYTES] = [10, 10]

interface Asked {
  readonly socket: Socket
  readonly reply: Buffer
}

async function asked(
  listener: number,
  command: number,
  name: string,
  port: number,
): Promise<Asked> {
  const socket = connect({ port: listener, host: '127.0.0.1', allowHalfOpen: true })
  socket.on('error', () => {})
  socket.write(Uint8Array.of(5, 1, 0))
  await once(socket, 'data')
  socket.write(Buffer.concat([Uint8Array.of(5, command, 0), hostOf(name, port)]))
  const [reply] = (await once(socket, 'data')) as [Buffer]
  return { socket, reply }
}

function hostOf(name: string, port: number): Buffer {
  const after = Uint8Array.of(port >> 8, port & 255)
  return Buffer.concat([Uint8Array.of(3, name.length), Buffer.from(name), after])
}

/** What a service answers, or the reply's number where there is no connection. */
export async function tcpBySocks(
  listener: number,
  name: string,
  port: number,
  text: string,
): Promise<string | number> {
  const { socket, reply } = await asked(listener, SOCKS_COMMAND.connect, name, port)
  const code = Number(reply[1])
  if (code !== SOCKS_REPLY.succeeded) {
    socket.destroy()
    return code
  }
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.end(text)
  await once(socket, 'end')
  return String(Buffer.concat(chunks))
}

export interface UdpBySocks extends AsyncDisposable {
  send(text: string): void
  /** What a service answers, asked again while nothing comes. */
  ask(text: string): Promise<string>
}

/** To one port of one device. */
export async function udpBySocks(
  listener: number,
  name: string,
  port: number,
): Promise<UdpBySocks> {
  const { socket, reply } = await asked(listener, SOCKS_COMMAND.udpAssociate, '0.0.0.0', 0)
  const relay = reply.readUInt16BE(REPLY_BYTES - 2)
  const local = createSocket('udp4')
  const head = Buffer.concat([new Uint8Array(3), hostOf(name, port)])
  const send = (text: string) => local.send(Buffer.concat([head, Buffer.from(text)]), relay)
  return {
    send,
    ask: async (text) => {
      send(text)
      const again = systemClock.every(500, () => send(text))
      for (;;) {
        const [data] = (await once(local, 'message')) as [Buffer]
        const answer = String(data.subarray(HEAD_BYTES))
        if (!answer.endsWith(`:${text}`)) continue
        again.cancel()
        return answer
      }
    },
    [Symbol.asyncDispose]: async () => {
      socket.destroy()
      local.close()
    },
  }
}
