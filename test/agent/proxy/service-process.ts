/** A device in a process of its own, without an agent around it: WireGuard and TCP/IP inside, and a proxy. Its first line
 *  of input is its ConfigText; it says `ready`, and ends with its input. From the mesh, port 80 is a web server on this
 *  host's loopback: `/hello` answers a line, `/bytes/N` as many bytes, `/count` the number of bytes it is sent; port 90
 *  two that say `one` and `two` in turn, and a dead one; UDP 53 an echo. On this host's loopback TCP 8081 (IPv4) and 8082
 *  (IPv6), and UDP 8083, are port 9000 of the peer. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import { FlowCount } from '../../../agent/proxy/flow-table.ts'
import { runProxy } from '../../../agent/proxy/proxy.ts'
import { ConnectionCount } from '../../../agent/proxy/proxy-parts.ts'
import { parseProxyRule } from '../../../agent/proxy/proxy-rule.ts'
import { openProxyRules } from '../../../agent/proxy/rule-store.ts'
import { newStackDevice } from '../../../agent/stack/stack-device.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import { startUserspace } from '../../../agent/tunnel/userspace/start.ts'
import { randomBytes } from '../../../crypto/random.ts'
import { parseIpAddress } from '../../../protocol/address.ts'
import { pattern } from '../../../simulations/world/stack-pair.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { decodeConfig } from '../tunnel/userspace/remote.ts'

const PORT = 80
const parts = { clock: systemClock, random: randomBytes, log: () => undefined }

async function answer(asked: IncomingMessage, response: ServerResponse): Promise<void> {
  const [, what, count] = (asked.url ?? '').split('/')
  if (what === 'bytes') response.end(pattern(Number(count)))
  else if (what === 'count') {
    let bytes = 0
    for await (const chunk of asked) bytes += (chunk as Buffer).length
    response.end(`${bytes}\n`)
  } else response.end('hello from inside\n')
}

const server = createServer((asked, response) => {
  answer(asked, response).catch((error: Error) => response.destroy(error))
})
server.listen(0, '127.0.0.1')
await once(server, 'listening')
const { port } = server.address() as AddressInfo
const echo = createSocket('udp4')
echo.on('message', (datagram, from) => echo.send(datagram, from.port, from.address))
echo.bind(0, '127.0.0.1')
await once(echo, 'listening')
const turns = await Promise.all(
  ['one', 'two'].map(async (name) => {
    const turn = createServer((_asked, response) => void response.end(`${name}\n`))
    turn.listen(0, '127.0.0.1')
    await once(turn, 'listening')
    return (turn.address() as AddressInfo).port
  }),
)
/** Of loopback: nobody listens. */
const DEAD_PORT = 9

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const config = decodeConfig(JSON.parse(String((await lines.next()).value)))
const folder = await tempDir()
const [peer4 = '', peer6 = ''] = [...config.peers.values()].flatMap(({ allowedIps }) =>
  allowedIps.map((prefix) => prefix.replace(/\/\d+$/, '')),
)
const rules = [
  ...[
    `tcp:${PORT}:127.0.0.1:${port}`,
    ...[...turns, DEAD_PORT].map((each) => `tcp:90:127.0.0.1:${each}`),
    `udp:53:127.0.0.1:${echo.address().port}`,
  ].map((text) => parseProxyRule('ingress', text)),
  ...['tcp:8081:peer:9000', `tcp:8082:[${peer6}]:9000`, 'udp:8083:peer:9000'].map((text) =>
    parseProxyRule('egress', text),
  ),
]
const { stack, device } = newStackDevice(parts)
const { tunnel } = startUserspace({ ...parts, interfaceName: 'inside', device })
const proxy = runProxy({
  ...parts,
  stack,
  mesh: {
    resolve: (name) => (name === 'peer' ? [parseIpAddress(peer4)] : []),
    lookUp: async () => [],
    nameOf: () => undefined,
    isOfMesh: (address) => [peer4, peer6].includes(address),
  },
  rules: await openProxyRules(`${folder.path}/proxy.json`, rules),
  connections: new ConnectionCount(parts.log),
  flows: new FlowCount(),
})
await tunnel.configure(config)
await proxy.settled()
process.stdout.write('ready\n')
await lines.next()
await tunnel[Symbol.asyncDispose]()
await proxy[Symbol.asyncDispose]()
stack[Symbol.dispose]()
server.close()
await folder[Symbol.asyncDispose]()
process.exit(0)
