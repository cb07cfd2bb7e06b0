// time limit: 600 s
/** The stack against the kernel's TCP/IP, through a TUN interface in a namespace of its own. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { createStack, type Stack } from '../../../agent/stack/stack.ts'
import type { TcpConnection } from '../../../agent/stack/tcp-connection.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import { randomBytes } from '../../../crypto/random.ts'
import { newPacketLink, type PacketLinkOptions } from '../../../simulations/world/packet-link.ts'
import { FAR, NEAR, pattern } from '../../../simulations/world/stack-pair.ts'
import { seededRandom } from '../../../simulations/world/virtual-clock.ts'
import { needs } from '../../support/needs.ts'
import { type KernelPeer, startKernelPeer } from './kernel-peer.ts'

needs('netns', 'tun', 'python3', 'ping')

const rule = suite('the stack and the kernel')
type Path = Omit<PacketLinkOptions, 'clock' | 'random'>

interface Scene extends AsyncDisposable {
  readonly stack: Stack
  readonly kernel: KernelPeer
}

async function startScene(path: Path = {}): Promise<Scene> {
  await using started = new AsyncDisposableStack()
  const options = { ...path, clock: systemClock, random: seededRandom(1) }
  const back = newPacketLink(options, (packet) => stack.write(packet))
  const kernel = started.use(
    await startKernelPeer(`nxstack${process.pid}`, (packet) => back.send(packet)),
  )
  const out = newPacketLink(options, (packet) => kernel.write(packet))
  const stack: Stack = started.use(
    createStack({
      addresses: [NEAR[4], NEAR[6]],
      mtu: 1420,
      onPacket: (packet) => out.send(packet),
      clock: systemClock,
      random: randomBytes,
      log: () => {},
    }),
  )
  const all = started.move()
  return { stack, kernel, [Symbol.asyncDispose]: () => all.disposeAsync() }
}

/** A service of the kernel's that sends back what it gets, after all of it has come. */
const ECHO = `
import socket, sys, threading
def serve(connection):
    data = b""
    while True:
        more = connection.recv(65536)
        if not more: break
        data += more
    connection.sendall(data)
    connection.close()
listener = socket.create_server(("::", 80), family=socket.AF_INET6, dualstack_ipv6=True, backlog=200)
print("ready", flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
`

/** A client of the kernel's: sends a million bytes, ends, and tells the checksum of what comes back. It reads meanwhile:
 *  all buffers of the way there and back may hold less than that. */
const CLIENT = `
import hashlib, socket, sys, threading
connection = socket.create_connection((sys.argv[1], 80))
def send():
    connection.sendall(bytes((at * 31 + (at >> 8) * 7) & 255 for at in range(1000000)))
    connection.shutdown(socket.SHUT_WR)
threading.Thread(target=send).start()
data = b""
while True:
    more = connection.recv(65536)
    if not more: break
    data += more
print(len(data), hashlib.sha256(data).hexdigest(), flush=True)
`

async function startEcho({ kernel }: Scene): Promise<void> {
  const child = kernel.start('python3', '-c', ECHO)
  if (child.stdout === null) throw new Error('no pipe')
  await once(child.stdout, 'data')
}

function drained(connection: TcpConnection): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    connection.on('data', (chunk: Buffer) => chunks.push(chunk))
    connection.on('end', () => resolve(Buffer.concat(chunks)))
    connection.on('error', reject)
  })
}

/** All that a program says. */
async function textOf(output: Readable): Promise<string> {
  let text = ''
  for await (const chunk of output) text += String(chunk)
  return text
}

const PATHS: Readonly<Record<string, Path>> = {
  'a clean path': {},
  'a path with delay and losses': { delayMs: 5, loss: 0.01, disorder: 0.01 },
}
const SENT = pattern(1_000_000)
const DIGEST = createHash('sha256').update(SENT).digest('hex')

for (const [what, path] of Object.entries(PATHS)) {
  for (const family of [4, 6] as const) {
    rule(`calls the kernel over ${what}, IPv${family}: all comes back`, async () => {
      await using scene = await startScene(path)
      await startEcho(scene)
      const connection = scene.stack.connectTcp({ address: FAR[family], port: 80 })
      const back = drained(connection)
      connection.end(SENT)
      assert.is(
        createHash('sha256')
          .update(await back)
          .digest('hex'),
        DIGEST,
      )
    })

    rule(`is called by the kernel over ${what}, IPv${family}: all comes back`, async () => {
      await using scene = await startScene(path)
      scene.stack.listenTcp(80, (connection) => {
        connection.on('error', () => {})
        connection.pipe(connection)
      })
      const client = scene.kernel.start('python3', '-c', CLIENT, NEAR[family])
      if (client.stdout === null) throw new Error('no pipe')
      assert.is(await textOf(client.stdout), `1000000 ${DIGEST}\n`)
    })
  }
}

rule('answers the kernel’s pings, and pings it', async () => {
  await using scene = await startScene()
  for (const family of [4, 6] as const) {
    const words = ['-c', '3', '-i', '0.2', '-s', '3000', NEAR[family]]
    const [code] = await once(scene.kernel.start('ping', ...words), 'close')
    assert.is(code, 0)
    assert.ok((await scene.stack.ping(FAR[family])) < 5000)
  }
})

rule('is refused, and refuses, as the kernel does', async () => {
  await using scene = await startScene()
  const connection = scene.stack.connectTcp({ address: FAR[4], port: 81 })
  const [error] = await once(connection, 'error')
  assert.is(error.code, 'ECONNREFUSED')
  const script = `
import socket
for port, kind in ((81, socket.SOCK_STREAM), (82, socket.SOCK_DGRAM)):
    probe = socket.socket(socket.AF_INET, kind)
    try:
        probe.connect(("${NEAR[4]}", port))
        probe.send(b"x")
        probe.settimeout(20)
        probe.recv(1)
    except ConnectionRefusedError:
        print("refused", flush=True)
`
  const { stdout } = scene.kernel.start('python3', '-c', script)
  if (stdout === null) throw new Error('no pipe')
  assert.is(await textOf(stdout), 'refused\nrefused\n')
})

rule.run()
