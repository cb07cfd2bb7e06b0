/** A tunnel inside a process that a test starts in a namespace, as whom it likes: one JSON call a line on standard
 *  input, one answer a line on standard output; see remote.ts. */
import { createInterface } from 'node:readline'
import { commandsOf } from '../../../../agent/host/run.ts'
import { systemClock } from '../../../../agent/system-clock.ts'
import type { Tunnel } from '../../../../agent/tunnel/backend.ts'
import { startTunnel } from '../../../../agent/tunnel/detect.ts'
import type { Datagram } from '../../../../agent/tunnel/userspace/bunch.ts'
import type { Engine } from '../../../../agent/tunnel/userspace/engine.ts'
import { messageKind } from '../../../../agent/tunnel/userspace/messages.ts'
import { startUserspace } from '../../../../agent/tunnel/userspace/start.ts'
import { startTun } from '../../../../agent/tunnel/userspace/start-tun.ts'
import { openUnderlay } from '../../../../agent/tunnel/userspace/underlay.ts'
import { parseAgreementPublicKey } from '../../../../crypto/agreement.ts'
import { concat, fromHex } from '../../../../crypto/bytes.ts'
import { randomBytes } from '../../../../crypto/random.ts'
import { type Endpoint, parseEndpoint, parseIpAddress } from '../../../../protocol/address.ts'
import { EchoDevice } from './echo-device.ts'
import { initiationsFor } from './initiations.ts'
import { type Calls, decodeConfig } from './remote.ts'

const device = new EchoDevice()
let cookies = 0
const cookiesSent: number[] = []
const [interfaceName, backend] = process.argv.slice(2)
const options = {
  openUnderlay: async ({ onDatagram, ...rest }: Parameters<typeof openUnderlay>[0]) => {
    const underlay = await openUnderlay({
      ...rest,
      onDatagram: (datagram, from) => {
        if (messageKind(datagram) === 'cookie-reply') cookies += 1
        onDatagram(datagram, from)
      },
    })
    return {
      ...underlay,
      send: (datagram: Datagram, to: Endpoint) => {
        if (messageKind(concat(...datagram)) === 'cookie-reply') cookiesSent.push(to.port)
        return underlay.send(datagram, to)
      },
    }
  },
  clock: systemClock,
  random: randomBytes,
  log: (level: string, event: string) => answer({ log: `${level} ${event}` }),
}
const started = await start().catch((error: Error) => error)
const lines = createInterface({ input: process.stdin })
if (started instanceof Error) {
  for await (const line of lines) refuse(JSON.parse(line).id, started)
  process.exit(1)
}
const { tunnel } = started
void tunnel.ended.then((fault) => fault !== undefined && process.exit(1))
const key = (hex: string) => parseAgreementPublicKey(fromHex(hex))

const calls: Calls = {
  started: async () => undefined,
  configure: (config) => tunnel.configure(decodeConfig(config)),
  setEndpoint: (hex, endpoint) => tunnel.setEndpoint(key(hex), parseEndpoint(endpoint)),
  setKeepalive: (hex, seconds) => tunnel.setKeepalive(key(hex), seconds),
  restartPeer: (hex) => tunnel.restartPeer(key(hex)),
  stats: async () =>
    (await tunnel.stats()).map(({ publicKey, ...rest }) => ({
      ...rest,
      publicKey: Buffer.from(publicKey).toString('hex'),
    })),
  presharedKey: async (hex, psk) =>
    inside().machine.setPeer(key(hex), { presharedKey: fromHex(psk) }),
  rebind: (port) => inside().bind(port),
  ping: async (address, bytes, waitMs) => {
    const number = device.ask(parseIpAddress(address), bytes)
    const late = systemClock.sleep(waitMs).then(() => 'nothing' as const)
    return Promise.race([device.asked(number), late])
  },
  pingMany: async (address, count, everyMs) => {
    let received = 0
    const to = parseIpAddress(address)
    const sent = Array.from({ length: count }, async (_, index) => {
      await systemClock.sleep(index * everyMs)
      const answer = device.asked(device.ask(to, 84))
      const late = systemClock.sleep(2000).then(() => 'nothing' as const)
      if ((await Promise.race([answer, late])) === 'reply') received += 1
    })
    await Promise.all(sent)
    return received
  },
  flood: async (hex, endpoint, count) => flood(hex, parseEndpoint(endpoint), count),
  cookies: async () => cookies,
  cookiesSent: async (port) => cookiesSent.filter((each) => each === port).length,
  end: async () => {
    await tunnel[Symbol.asyncDispose]()
    setImmediate(() => process.exit(0))
  },
}

/** Initiations that cost their receiver a key agreement, and open to nothing. */
async function flood(hex: string, to: Endpoint, count: number): Promise<void> {
  const messages = initiationsFor(key(hex), 16)
  for (let sent = 0; sent < count; sent += messages.length) {
    for (const message of messages) inside().sendOther(message, to)
    if (sent % 512 === 0) await new Promise(setImmediate)
  }
}

for await (const line of lines) {
  const { id, call, args } = JSON.parse(line)
  void Promise.resolve()
    .then(() => (calls[call as keyof Calls] as (...given: unknown[]) => unknown)(...args))
    .then(
      (value) => answer({ id, value }),
      (error: Error) => refuse(id, error),
    )
}
process.exit(0)

async function start(): Promise<{ readonly tunnel: Tunnel; readonly engine?: Engine }> {
  if (interfaceName === undefined)
    return startUserspace({ ...options, interfaceName: 'inside', device })
  const over = { ...options, interfaceName, commands: commandsOf() }
  if (backend === 'tun') return startTun(over)
  return { tunnel: await startTunnel({ ...over, backend: 'kernel' }) }
}

/** The engine in this very thread. */
function inside(): Engine {
  if (started instanceof Error || started.engine === undefined)
    throw new Error('it has a thread of its own')
  return started.engine
}

function refuse(id: number, error: Error & { code?: string }): void {
  answer({ id, error: { message: error.message, code: error.code } })
}

function answer(said: unknown): void {
  process.stdout.write(`${JSON.stringify(said)}\n`)
}
