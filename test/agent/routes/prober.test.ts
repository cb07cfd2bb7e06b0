import { createServer as createHttp } from 'node:http'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Asker } from '../../../agent/routes/asker.ts'
import { newProber } from '../../../agent/routes/prober.ts'
import { ASK_MS, DOWN_AFTER } from '../../../agent/routes/reach-health.ts'
import { ReachWatch } from '../../../agent/routes/reach-watch.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import { parseIpAddress } from '../../../protocol/address.ts'
import type { DeviceId } from '../../../protocol/keys.ts'
import { parseRouteProbe } from '../../../protocol/route-probe.ts'
import { VirtualClock } from '../../../simulations/world/virtual-clock.ts'
import { needs } from '../../support/needs.ts'

needs('ping')

const rule = suite('probes and askers')
const prober = newProber(undefined, systemClock)
const listening = (server: Server): Promise<number> =>
  new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))
  })
const probe = (text: string, timeoutMs = 5000): Promise<boolean> =>
  prober.probe(parseRouteProbe(text), timeoutMs).then((ms) => ms !== undefined)

rule('take an echo, a connection and a page for answers', async () => {
  assert.ok(await probe('icmp:127.0.0.1'))
  const web = createHttp((request, response) => {
    response.statusCode = request.url === '/broken' ? 503 : request.url === '/moved' ? 302 : 404
    response.end('x'.repeat(10_000))
  })
  const port = await listening(web)
  assert.ok(await probe(`tcp:127.0.0.1:${port}`))
  assert.ok(await probe(`http://127.0.0.1:${port}/any`))
  assert.ok(await probe(`http://127.0.0.1:${port}/moved`))
  assert.not.ok(await probe(`http://127.0.0.1:${port}/broken`))
  web.close()
})

rule('take silence, refusal and what is no HTTP for none', async () => {
  const mute = createServer(() => undefined)
  const mutePort = await listening(mute)
  assert.not.ok(await probe(`http://127.0.0.1:${mutePort}/`, 300))
  const other = createServer((socket) => socket.end(`SSH-2.0-x${'y'.repeat(200)}\r\n`))
  const otherPort = await listening(other)
  assert.not.ok(await probe(`http://127.0.0.1:${otherPort}/`))
  for (const server of [mute, other]) server.close()
  assert.not.ok(await probe(`tcp:127.0.0.1:${otherPort}`))
})

rule('ask often what is in use, seldom what is not, and at once when that begins', async () => {
  const clock = new VirtualClock()
  let asked = 0
  const ask = async (): Promise<number> => {
    asked += 1
    return 40
  }
  using asker = new Asker({ clock, ask, onChange: () => undefined }, false)
  await clock.advance(60_000)
  assert.is(asked, 1 + 60_000 / ASK_MS.resting)
  asker.setUsed(true)
  await clock.advance(10)
  assert.is(asked, 2 + 60_000 / ASK_MS.resting)
  await clock.advance(10_000)
  assert.ok(Math.abs(asked - 16) <= 1, `${asked}`)
})

rule('say once that something is down, and once that it is up', async () => {
  const clock = new VirtualClock()
  let isDead = false
  const changes: boolean[] = []
  const ask = async (): Promise<number | undefined> => (isDead ? undefined : 40)
  using asker: Asker = new Asker(
    { clock, ask, onChange: () => changes.push(asker.health.isUp) },
    true,
  )
  await clock.advance(5000)
  isDead = true
  await clock.advance(2500)
  assert.equal(changes, [false])
  assert.ok(asker.health.unanswered >= DOWN_AFTER.unanswered)
  await clock.advance(60_000)
  isDead = false
  await clock.advance(ASK_MS.used * 2)
  assert.equal(changes, [false, true])
})

rule('count a late answer, so that a slow path is not a dead one', async () => {
  const clock = new VirtualClock()
  const ask = async (): Promise<number> => {
    await clock.sleep(1200)
    return 1200
  }
  using asker = new Asker({ clock, ask, onChange: () => undefined }, true)
  await clock.advance(60_000)
  assert.is(asker.health.isUp, true)
})

const PEER = 'peer' as DeviceId
rule('watch a device closely while packets go to it, and tell their own from those', async () => {
  const clock = new VirtualClock()
  let [asked, bytes, traffic] = [0, 0, 0]
  const watch = new ReachWatch({
    clock,
    prober: {
      echo: async () => {
        asked += 1
        bytes += 80
        return 40
      },
      probe: async () => undefined,
    },
    addressOf: () => parseIpAddress('100.64.0.2'),
    mayEcho: () => true,
    path: () => ({ kind: 'relay' }),
    sentBytes: async () => {
      bytes += traffic
      return new Map([[PEER, bytes]])
    },
    onChange: () => undefined,
  })
  watch.watch(new Set([PEER]), new Set())
  await clock.advance(60_000)
  assert.ok(asked <= 5, `${asked} while nothing passed`)
  traffic = 1000
  await clock.advance(30_000)
  assert.ok(asked > 25, `${asked} while packets passed`)
  traffic = 0
  await clock.advance(20_000)
  const resting = asked
  await clock.advance(60_000)
  assert.ok(asked - resting <= 5, `${asked - resting} after that`)
  watch[Symbol.dispose]()
})

rule('take the word of the path for a device that answers no echo', async () => {
  const clock = new VirtualClock()
  let kind: 'relay' | 'offline' = 'relay'
  const watch = new ReachWatch({
    clock,
    prober: { echo: async () => undefined, probe: async () => undefined },
    addressOf: () => parseIpAddress('100.64.0.2'),
    mayEcho: () => true,
    path: () => ({ kind }),
    sentBytes: async () => new Map(),
    onChange: () => undefined,
  })
  watch.watch(new Set(), new Set([PEER]))
  await clock.advance(10_000)
  assert.is(watch.reach(PEER).isUp, true)
  kind = 'offline'
  assert.is(watch.reach(PEER).isUp, false)
  watch[Symbol.dispose]()
})

rule.run()
