/** Which NAT is this? RFC 5780's experiments with messages of our own: a server with two addresses and two
 *  ports in the core, a client behind the NAT. Run inside namespaces:
 *
 *    classify.ts serve ADDRESS ADDRESS …    two of a family; answers until it is ended
 *    classify.ts ask ADDRESS ADDRESS        prints one line of JSON: a Classification */
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'

const BEHAVIOUR = z.enum([
  'none',
  'endpoint-independent',
  'address-dependent',
  'address-and-port-dependent',
])
/** RFC 4787 §4.1 and §5. */
export type Behaviour = z.infer<typeof BEHAVIOUR>

export const CLASSIFICATION = z.object({
  isReachable: z.boolean(),
  mapping: BEHAVIOUR,
  filtering: BEHAVIOUR,
  isPortKept: z.boolean(),
  /** Does a host of the site reach another by the site's public address (RFC 4787 §6)? */
  isHairpinning: z.boolean(),
  /** As the server saw it, `address port`; empty where nothing came through. */
  mapped: z.string(),
})
export type Classification = Readonly<z.infer<typeof CLASSIFICATION>>

const PORTS = [3478, 3479] as const
const REQUEST = z.object({
  id: z.number(),
  /** From where the server is to answer: as asked, its other port, its other address. */
  from: z.enum(['same', 'other-port', 'other-address']),
  /** To which port of the asker, where not to the one that asks. */
  to: z.number().optional(),
})
type From = z.infer<typeof REQUEST>['from']
const ANSWER = z.object({ id: z.number(), address: z.string(), port: z.number() })
const ATTEMPTS = 3
/** For an answer that is not filtered, on a machine that may be busy. */
const PATIENCE_MS = 1000
/** How much later than one sent after it an answer may come. */
const GRACE_MS = 50
/** For a packet that has no answer after it and comes from next door. */
const HAIRPIN_MS = 300
/** No answer of the server has this id. */
const HAIRPIN_ID = -1

async function bound(port: number, address: string): Promise<Socket> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
  socket.bind(port, address)
  await once(socket, 'listening')
  return socket
}

async function serve(addresses: readonly string[]): Promise<void> {
  const sockets = new Map<string, Socket>()
  for (const address of addresses) {
    for (const port of PORTS) sockets.set(`${address} ${port}`, await bound(port, address))
  }
  for (const [name, socket] of sockets) {
    const [address = '', port = ''] = name.split(' ')
    const otherPort = PORTS.find((each) => each !== Number(port)) ?? 0
    const otherAddress = addresses.find(
      (each) => each !== address && each.includes(':') === address.includes(':'),
    )
    const speakers = {
      same: name,
      'other-port': `${address} ${otherPort}`,
      'other-address': `${otherAddress} ${port}`,
    }
    socket.on('message', (message, sender) => {
      const { from, id, to = sender.port } = REQUEST.parse(JSON.parse(message.toString()))
      const answer = JSON.stringify({ id, address: sender.address, port: sender.port })
      sockets.get(speakers[from])?.send(answer, to, sender.address)
    })
  }
  process.stdout.write('ready\n')
}

/** A socket that asks, and knows what was answered. */
interface Asker {
  readonly port: number
  /** The mapped address; undefined when no answer came. */
  ask(address: string, port: number): Promise<string | undefined>
  /** Does an answer to one port get in from elsewhere, or at another of our ports? */
  getsIn(address: string, port: number, from: From): Promise<boolean>
  /** Has the server send to another port of ours, which has asked it nothing. */
  knock(address: string, port: number, to: number): Promise<boolean>
  /** Sends what `hasCome` waits for at the other end. */
  turn(address: string, port: number): void
  hasCome(): Promise<boolean>
}

async function startAsker(family: string): Promise<Asker> {
  const socket = await bound(0, family.includes(':') ? '::' : '0.0.0.0')
  const answers = new Map<number, string>()
  const waiting = new Set<() => void>()
  let lastId = 0
  socket.on('message', (message) => {
    const { id, address, port } = ANSWER.parse(JSON.parse(message.toString()))
    answers.set(id, `${address} ${port}`)
    for (const look of waiting) look()
  })
  const send = (address: string, port: number, from: From, to?: number): number => {
    lastId += 1
    socket.send(JSON.stringify({ id: lastId, from, to }), port, address)
    return lastId
  }
  const answerTo = async (id: number): Promise<string | undefined> => {
    const answered = Promise.withResolvers<void>()
    const look = (): void => {
      if (answers.has(id)) answered.resolve()
    }
    waiting.add(look)
    const timer = setTimeout(answered.resolve, PATIENCE_MS)
    await answered.promise
    clearTimeout(timer)
    waiting.delete(look)
    return answers.get(id)
  }
  const ask = async (address: string, port: number): Promise<string | undefined> => {
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const answer = await answerTo(send(address, port, 'same'))
      if (answer !== undefined) return answer
    }
    return undefined
  }
  return {
    port: socket.address().port,
    ask,
    getsIn: async (address, port, from) => {
      const id = send(address, port, from)
      // The server answers in order: once this is here, the other will not come any more.
      await ask(address, port)
      await sleep(GRACE_MS)
      return answers.has(id)
    },
    knock: async (address, port, to) => {
      send(address, port, 'same', to)
      return (await ask(address, port)) !== undefined
    },
    turn: (address, port) =>
      socket.send(JSON.stringify({ id: HAIRPIN_ID, address: '', port: 0 }), port, address),
    hasCome: async () => {
      await sleep(HAIRPIN_MS)
      return answers.has(HAIRPIN_ID)
    },
  }
}

const UNREACHABLE: Classification = {
  isReachable: false,
  mapping: 'none',
  filtering: 'none',
  isPortKept: false,
  isHairpinning: false,
  mapped: '',
}

async function classify(first: string, second: string): Promise<Classification> {
  const [helper, asker] = [await startAsker(first), await startAsker(first)]
  const [port, otherPort] = PORTS
  // A peer's first packet often arrives before our own leaves; the mapping must not suffer from it.
  if (!(await helper.knock(first, port, asker.port))) return UNREACHABLE
  const here = await asker.ask(first, port)
  if (here === undefined) return UNREACHABLE
  // Filtering first: nothing has been sent to the server's other address or port yet.
  const filtering = (await asker.getsIn(first, port, 'other-address'))
    ? 'endpoint-independent'
    : (await asker.getsIn(first, port, 'other-port'))
      ? 'address-dependent'
      : 'address-and-port-dependent'
  const thereOtherPort = await asker.ask(first, otherPort)
  const thereOtherAddress = await asker.ask(second, port)
  const mapping =
    here === thereOtherAddress && here === thereOtherPort
      ? 'endpoint-independent'
      : here === thereOtherPort
        ? 'address-dependent'
        : 'address-and-port-dependent'
  const isPortKept = here.endsWith(` ${asker.port}`)
  const [mappedAddress = '', mappedPort = ''] = here.split(' ')
  helper.turn(mappedAddress, Number(mappedPort))
  const isHairpinning = await asker.hasCome()
  return { isReachable: true, mapping, filtering, isPortKept, isHairpinning, mapped: here }
}

const [mode, ...addresses] = process.argv.slice(2)
const [first = '', second = ''] = addresses
if (mode === 'serve') await serve(addresses)
else if (mode === 'ask') {
  process.stdout.write(`${JSON.stringify(await classify(first, second))}\n`)
  process.exit(0)
}
