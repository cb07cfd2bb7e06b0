/** WireGuard, checks and relays on one socket. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { sharedSockets, sharedSprayHost } from '../../../agent/path/shared-sockets.ts'
import { openSpraySockets } from '../../../agent/path/spray/sockets.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import { startUserspace } from '../../../agent/tunnel/userspace/start.ts'
import { generateAgreementKeyPair } from '../../../crypto/agreement.ts'
import { fromHex, toHex } from '../../../crypto/bytes.ts'
import { randomBytes } from '../../../crypto/random.ts'
import {
  type Endpoint,
  parseEndpoint,
  parseIpAddress,
  parsePrefix,
} from '../../../protocol/address.ts'
import { EchoDevice } from '../tunnel/userspace/echo-device.ts'

const rule = suite('shared sockets')
const log = (): void => undefined
const STUN = fromHex('000100002112a442000102030405060708090a0b')

async function side(number: number) {
  const device = new EchoDevice()
  const own = {
    interfaceName: `side${number}`,
    device,
    clock: systemClock,
    random: randomBytes,
    log,
  }
  const { tunnel, engine } = startUserspace(own)
  const keys = generateAgreementKeyPair()
  const address = `100.64.0.${number}/32`
  const know = (
    peer: { readonly keys: typeof keys; readonly address: string },
    endpoint?: Endpoint,
  ) =>
    tunnel.configure({
      privateKey: keys,
      listenPort: engine.port,
      addresses: [parsePrefix(address)],
      mtu: 1420,
      peers: new Map([
        [
          toHex(peer.keys.publicKey),
          {
            publicKey: peer.keys.publicKey,
            allowedIps: [parsePrefix(peer.address)],
            persistentKeepalive: 0,
            ...(endpoint === undefined ? {} : { endpoint }),
          },
        ],
      ]),
    })
  await engine.bind(0)
  return { device, tunnel, engine, keys, address, know, sockets: sharedSockets(engine) }
}

function datagrams() {
  const got: { readonly datagram: string; readonly from: Endpoint }[] = []
  const onDatagram = (datagram: Uint8Array, from: Endpoint): void => {
    got.push({ datagram: toHex(datagram), from })
  }
  return { got, onDatagram }
}

rule('checks leave and arrive by WireGuard’s port, and nothing else reaches them', async () => {
  const [a, b] = [await side(1), await side(2)]
  await using _a = a.tunnel
  await using _b = b.tunnel
  const { got, onDatagram } = datagrams()
  const sent: Endpoint[] = []
  const at = { port: 0, log }
  const checks = await a.sockets.openCheckSocket({
    ...at,
    onDatagram: log,
    onSent: (to) => sent.push(to),
  })
  const others = await b.sockets.openCheckSocket({ ...at, onDatagram })
  const to = parseEndpoint(`127.0.0.1:${b.engine.port}`)
  assert.is(checks.send(fromHex('04000000'), to), true)
  assert.is(checks.send(fromHex('ffff'), to), true)
  assert.is(checks.send(STUN, to), true)
  while (got.length === 0) await sleep(5)
  const from = parseEndpoint(`127.0.0.1:${a.engine.port}`)
  assert.equal(got, [{ datagram: toHex(STUN), from }])
  assert.is(sent.length, 3)
  await others.close()
  checks.send(STUN, to)
  await sleep(50)
  assert.is(got.length, 1)
})

rule('WireGuard works by a carrier as by a socket, and nothing of it goes out', async () => {
  const [a, b] = [await side(1), await side(2)]
  await using _a = a.tunnel
  await using _b = b.tunnel
  const open = { listenPort: 0, log }
  const [ofA, ofB] = [
    a.sockets.openRelayCarrier({ ...open, onDatagram: (datagram) => void ofB.inject(datagram) }),
    b.sockets.openRelayCarrier({ ...open, onDatagram: (datagram) => void ofA.inject(datagram) }),
  ]
  await a.know(b, ofA.endpoint)
  await b.know(a)
  const number = a.device.ask(parseIpAddress('100.64.0.2'), 500)
  assert.is(await a.device.asked(number), 'reply')
  assert.equal((await b.tunnel.stats())[0]?.endpoint, ofB.endpoint)
  assert.is(ofA.inject(new Uint8Array(70_000)), false)
  ofA.close()
  ofB.close()
  const { sentBytes } = (await a.tunnel.stats())[0] ?? { sentBytes: 0 }
  a.device.ask(parseIpAddress('100.64.0.2'), 500)
  await sleep(20)
  assert.ok(((await a.tunnel.stats())[0]?.sentBytes ?? 0) > sentBytes)
})

rule('two carriers of one engine are told apart, and are nobody’s address', async () => {
  const a = await side(1)
  await using _a = a.tunnel
  const endpoints = [1, 2].map(
    () => a.sockets.openRelayCarrier({ listenPort: 0, log, onDatagram: log }).endpoint.address,
  )
  assert.equal(endpoints, ['100::1', '100::2'])
})

rule('where a round of spraying found a path all leaves and arrives by its socket', async () => {
  const [a, b] = [await side(1), await side(2)]
  await using _a = a.tunnel
  await using _b = b.tunnel
  const spraySockets = await openSpraySockets(4, 2, log)
  const [kept, stranger] = [spraySockets.at(0), spraySockets.at(1)]
  assert.ok(kept !== undefined && stranger !== undefined)
  const { got, onDatagram } = datagrams()
  const checks = await a.sockets.openCheckSocket({ port: 0, log, onDatagram })
  const others = datagrams()
  const answering = await b.sockets.openCheckSocket({
    port: 0,
    log,
    onDatagram: (datagram, from) => {
      others.onDatagram(datagram, from)
      answering.send(STUN, from)
    },
  })
  const to = parseEndpoint(`127.0.0.1:${b.engine.port}`)
  const host = sharedSprayHost(a.engine)
  await host.divert(to, kept)
  assert.is(checks.send(STUN, to), true)
  await a.know(b, to)
  await b.know(a)
  assert.is(await a.device.asked(a.device.ask(parseIpAddress('100.64.0.2'), 500)), 'reply')
  while (got.length === 0) await sleep(5)
  const by = parseEndpoint(`127.0.0.1:${kept.port}`)
  assert.equal(others.got, [{ datagram: toHex(STUN), from: by }])
  assert.equal(got, [{ datagram: toHex(STUN), from: to }])
  assert.equal((await b.tunnel.stats())[0]?.endpoint, by)
  // Whoever finds the port is not heard by it.
  stranger.send(STUN, by)
  await sleep(50)
  assert.is(got.length, 1)
  await host.restore(to)
  checks.send(STUN, to)
  while (others.got.length === 1) await sleep(5)
  assert.equal(others.got[1]?.from, parseEndpoint(`127.0.0.1:${a.engine.port}`))
  spraySockets.close()
})

rule('a datagram of any kind on the port ends nothing', async () => {
  const a = await side(1)
  await using _a = a.tunnel
  const socket = createSocket('udp4').bind(0, '127.0.0.1')
  await once(socket, 'listening')
  for (const bytes of ['', '00', '01000000', '0400000000', 'ff'.repeat(60_000)]) {
    socket.send(Buffer.from(bytes, 'hex'), a.engine.port, '127.0.0.1')
  }
  await sleep(50)
  socket.close()
  assert.equal(await a.tunnel.stats(), [])
})

rule.run()
