/** What a hostile or broken gateway can do to a round, which is nothing: all of it is bounded. */
// time limit: 120 s
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { askRound } from '../../../../agent/path/port-mapping/round.ts'
import {
  bound,
  description,
  loopback,
  mapper,
  pcpAnswer,
  reasons,
  roundOf,
  startFakeGateway,
  summary,
} from './fake-gateway.ts'

const hostile = suite('a round with a hostile gateway')

hostile('garbage, other nonces and other ports are no answers, and end the exchange', async () => {
  await using gateway = await startFakeGateway({
    port5351: (request, reply) => {
      const other = Uint8Array.from(request)
      if (request[0] === 2) other[41] = 1
      for (let index = 0; index < 50; index += 1) {
        reply(Uint8Array.from([index, 0x81, 3, 4]).subarray(0, index % 5))
        if (request[0] !== 2) continue
        reply(pcpAnswer(request, { nonce: new Uint8Array(12) }))
        reply(pcpAnswer(other))
      }
    },
  })
  const round = await roundOf(gateway)
  assert.match(summary(round), 'pcp ')
  assert.ok(round.kind === 'failed')
  assert.ok(round.failures.every(({ kind }) => kind === 'silent' || kind === 'refused'))
})

hostile('answers from another address or port are not heard', async () => {
  const elsewhere = await bound(loopback(2), 5351, () => undefined)
  const otherPort = await bound(loopback(1), 5352, () => undefined)
  const asker = { port: 0 }
  const real = await bound(loopback(1), 5351, () => undefined)
  real.on('message', (request, from) => {
    asker.port = from.port
    for (const socket of [elsewhere, otherPort])
      socket.send(pcpAnswer(Uint8Array.from(request)), from.port, from.address)
  })
  const ask = {
    gateway: {
      address: loopback(1),
      interfaceName: 'lo',
      source: loopback(10),
    },
    ...(await idleAsk()),
  }
  const { result } = askRound(ask, ['pcp'])
  assert.is(summary(await result), 'pcp silent')
  assert.ok(asker.port > 0)
  for (const socket of [elsewhere, otherPort, real]) socket.close()
})

async function idleAsk() {
  await using gateway = await startFakeGateway({}, 3)
  const { gateway: _, ...ask } = gateway.ask()
  return ask
}

hostile(
  'lifetimes without end are a day; none, a second and no endpoint are refusals',
  async () => {
    for (const [grant, expected] of [
      [{ lifetime: 0xffff_ffff }, 'pcp 198.20.9.9:40000 86400'],
      [{ lifetime: 0 }, 'pcp refused'],
      [{ lifetime: 1 }, 'pcp refused'],
      [{ port: 0 }, 'pcp refused'],
      [{ address: [0, 0, 0, 0] }, 'pcp refused'],
      [{ result: 200 }, 'pcp refused'],
    ] as const) {
      await using gateway = await startFakeGateway({ port5351: mapper(grant, undefined) })
      const { result } = askRound(gateway.ask(), ['pcp'])
      assert.is(summary(await result), expected)
    }
  },
)

/** What the description is asked for is given by `respond`. */
async function described(
  respond: (response: ServerResponse, own: string) => void,
): Promise<{ reason: string; http: readonly string[] }> {
  await using gateway = await startFakeGateway({
    location: (own) => `${own}/desc.xml`,
    http: (_request, _body, response, own) => respond(response, own),
  })
  const { result } = askRound(gateway.ask(), ['upnp'])
  const round = await result
  assert.is(summary(round), 'upnp refused')
  return { reason: reasons(round), http: gateway.http }
}

hostile('a description of more than 64 KiB is cut off, whether or not it ends', async () => {
  const big = await described((response) => response.end(description() + ' '.repeat(70_000)))
  assert.match(big.reason, 'more than 65536 bytes')
  const endless = await described((response) => {
    const more = (): void => {
      while (!response.destroyed && response.write('<a>'.repeat(1000)));
    }
    response.on('drain', more)
    more()
  })
  assert.match(endless.reason, 'more than 65536 bytes')
})

hostile('a description that drips, or does not come, is given up', async () => {
  const drip = await described((response) => {
    const timer = setInterval(() => response.write(' '), 100)
    response.on('close', () => clearInterval(timer))
  })
  assert.match(drip.reason, 'no answer within 3000 ms')
  const mute = await described(() => undefined)
  assert.match(mute.reason, 'no answer within 3000 ms')
})

hostile('a redirect is not followed, nor a control URL elsewhere asked', async () => {
  const asked: string[] = []
  const other = createServer((request, response) => {
    asked.push(String(request.url))
    response.end(description())
  }).listen(0, loopback(2))
  await once(other, 'listening')
  const at = other.address()
  const url = `http://${loopback(2)}:${typeof at === 'object' ? at?.port : 0}`
  const redirected = await described((response) =>
    response.writeHead(302, { location: `${url}/desc.xml` }).end(),
  )
  assert.match(redirected.reason, 'HTTP status 302')
  const elsewhere = await described((response) => response.end(description(`${url}/ctl`)))
  assert.match(elsewhere.reason, 'another host')
  assert.equal(asked, [])
  assert.equal(elsewhere.http, ['GET /desc.xml'])
  other.close()
})

hostile('a location elsewhere is not asked', async () => {
  await using gateway = await startFakeGateway({ location: () => `http://${loopback(2)}:80/x` })
  const { result } = askRound(gateway.ask(), ['upnp'])
  const round = await result
  assert.is(summary(round), 'upnp silent')
  assert.match(reasons(round), 'another host')
})

hostile('headers without end, and what is no HTTP, are refusals', async () => {
  const long = await described((response) =>
    response.writeHead(200, { 'x-long': 'x'.repeat(20_000) }).end(),
  )
  assert.match(long.reason, 'Header overflow')
  const raw = await described((response) => response.socket?.end('hello\r\n\r\n'))
  assert.match(raw.reason, 'Parse Error')
})

hostile.run()
