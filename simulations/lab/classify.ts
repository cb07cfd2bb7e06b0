/** Which NAT is this? RFC 5780's experiments with messages of our own: a server with two addresses and two
 *  ports in the core, a client behind the NAT. Run inside namespaces:
 *
 *    classify.ts serve ADDRESS ADDRESS      answers until it is ended
 *    classify.ts ask ADDRESS ADDRESS        prints one line of JSON: a Classification */
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { z } from 'zod'

/** RFC 4787 §4.1 and §5. */
export type Behaviour =
  | 'none'
  | 'endpoint-independent'
  | 'address-dependent'
  | 'address-and-port-dependent'

export interface Classification {
  readonly isReachable: boolean
  readonly mapping: Behaviour
  readonly filtering: Behaviour
  readonly isPortKept: boolean
}

const PORTS = [3478, 3479] as const
/** From where the server is to answer: as asked, its other port, its other address. */
type From = 'same' | 'other-port' | 'other-address'
const REQUEST = z.object({ from: z.enum(['same', 'other-port', 'other-address']), id: z.number() })
const ANSWER = z.object({ id: z.number(), address: z.string(), port: z.number() })
const PATIENCE_MS = 400

async function bound(address: string | undefined, port: number): Promise<Socket> {
  const socket = createSocket('udp4')
  socket.bind(port, address)
  await once(socket, 'listening')
  return socket
}

async function serve(addresses: readonly string[]): Promise<void> {
  const sockets = new Map<string, Socket>()
  for (const address of addresses) {
    for (const port of PORTS) sockets.set(`${address} ${port}`, await bound(address, port))
  }
  for (const [name, socket] of sockets) {
    const [address = '', port = ''] = name.split(' ')
    socket.on('message', (message, sender) => {
      const { from, id } = REQUEST.parse(JSON.parse(message.toString()))
      const otherPort = PORTS.find((each) => each !== Number(port)) ?? 0
      const otherAddress = addresses.find((each) => each !== address) ?? ''
      const speaker = {
        same: name,
        'other-port': `${address} ${otherPort}`,
        'other-address': `${otherAddress} ${port}`,
      }[from]
      sockets
        .get(speaker)
        ?.send(
          JSON.stringify({ id, address: sender.address, port: sender.port }),
          sender.port,
          sender.address,
        )
    })
  }
  process.stdout.write('ready\n')
}

async function ask(first: string, second: string): Promise<Classification> {
  const socket = await bound(undefined, 0)
  const own = socket.address().port
  const inquire = (address: string, port: number, from: From): Promise<string | undefined> =>
    inquiry(socket, address, port, from)
  const [port, otherPort] = PORTS
  const here = await inquire(first, port, 'same')
  if (here === undefined)
    return { isReachable: false, mapping: 'none', filtering: 'none', isPortKept: false }
  // Filtering first: nothing has been sent to the server's other address or port yet.
  const filtering = (await inquire(first, port, 'other-address'))
    ? 'endpoint-independent'
    : (await inquire(first, port, 'other-port'))
      ? 'address-dependent'
      : 'address-and-port-dependent'
  const thereOtherPort = await inquire(first, otherPort, 'same')
  const thereOtherAddress = await inquire(second, port, 'same')
  const mapping =
    here === thereOtherAddress && here === thereOtherPort
      ? 'endpoint-independent'
      : here === thereOtherPort
        ? 'address-dependent'
        : 'address-and-port-dependent'
  return { isReachable: true, mapping, filtering, isPortKept: here.endsWith(` ${own}`) }
}

/** The mapped address as the server saw it, of the answer that came; undefined when none did. */
async function inquiry(
  socket: Socket,
  address: string,
  port: number,
  from: From,
): Promise<string | undefined> {
  const id = Math.floor(performance.now() * 1000)
  const answer = Promise.withResolvers<string | undefined>()
  const listen = (message: Buffer): void => {
    const seen = ANSWER.parse(JSON.parse(message.toString()))
    if (seen.id === id) answer.resolve(`${seen.address} ${seen.port}`)
  }
  socket.on('message', listen)
  const timer = setTimeout(() => answer.resolve(undefined), PATIENCE_MS)
  socket.send(JSON.stringify({ from, id }), port, address)
  const found = await answer.promise
  clearTimeout(timer)
  socket.off('message', listen)
  return found
}

const [mode, first = '', second = ''] = process.argv.slice(2)
if (mode === 'serve') await serve([first, second])
else if (mode === 'ask') {
  process.stdout.write(`${JSON.stringify(await ask(first, second))}\n`)
  process.exit(0)
}
