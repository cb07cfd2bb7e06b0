/** Limits of a running proxy: what is beyond one is refused, which the log says once, until something has ended. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FLOW_LIMITS } from '../../../agent/proxy/flow-table.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import { FAR } from '../../../simulations/world/stack-pair.ts'
import { skippingClock } from './skipping-clock.ts'
import {
  askTcp,
  freePort,
  startTcpService,
  startTwoProxies,
  startUdpService,
  type TwoProxies,
  until,
} from './two-proxies.ts'

const rule = suite('limits of a running proxy')

const timesSaid = ({ logged }: TwoProxies['near'], line: string): number =>
  logged.filter((each) => each === line).length

for (const side of ['near', 'far'] as const) {
  rule(`connections: ${side === 'near' ? 'egress' : 'ingress'}`, async () => {
    await using web = await startTcpService('web')
    const port = await freePort()
    await using two = await startTwoProxies({
      near: { egress: [`tcp:${port}:far:80`] },
      far: { ingress: [`tcp:80:127.0.0.1:${web.port}`] },
      connectionLimits: { connections: 4, ofSource: 4 },
    })
    const open = (): Duplex => {
      const socket =
        side === 'near'
          ? connect({ port, host: '127.0.0.1' })
          : two.near.stack.connectTcp({ address: FAR[4], port: 80 })
      return socket.on('error', () => {})
    }
    const { connections } = two[side]
    const held = Array.from({ length: 4 }, open)
    await until(() => connections.size === 4)
    for (let more = 0; more < 3; more += 1) {
      const refused = open()
      const [error] = await once(refused, 'error')
      assert.match(error.code, /^ECONN(RESET|ABORTED)$/)
    }
    assert.is(connections.size, 4)
    assert.is(timesSaid(two[side], 'proxy.connections-full connections'), 1)
    for (const socket of held.splice(0, 2)) socket.destroy()
    await until(() => connections.size === 2)
    held.push(open(), open())
    await until(() => connections.size === 4)
    assert.is(timesSaid(two[side], 'proxy.connections-full connections'), 1)
    for (const socket of held) socket.destroy()
    await until(() => two.near.connections.size + two.far.connections.size === 0)
    assert.is(await askTcp(port, 'after'), 'web:after')
  })
}

/** A socket of a source, which asks a service. */
interface Asker {
  readonly got: string[]
  ask(text: string): void
  close(): void
}

/** Asks again until it is answered. */
async function untilAnswered(asker: Asker, text: string): Promise<void> {
  while (!asker.got.includes(`dns:${text}`)) {
    asker.ask(text)
    await systemClock.sleep(50)
  }
}

function askerOf({ near }: TwoProxies, port: number | undefined): Asker {
  const got: string[] = []
  if (port === undefined) {
    const socket = near.stack.bindUdp(0, ({ data }) => void got.push(String(Buffer.from(data))))
    const to = { address: FAR[4], port: 53 }
    return { got, ask: (text) => socket.send(Buffer.from(text), to), close: () => socket.close() }
  }
  const socket = createSocket('udp4', (data) => void got.push(String(data)))
  return { got, ask: (text) => socket.send(text, port, '127.0.0.1'), close: () => socket.close() }
}

for (const side of ['near', 'far'] as const) {
  rule(`flows: ${side === 'near' ? 'egress' : 'ingress'}`, async () => {
    const clock = skippingClock()
    await using dns = await startUdpService('dns')
    const port = await freePort()
    await using two = await startTwoProxies({
      near: { egress: [`udp:${port}:far:53`] },
      far: { ingress: [`udp:53:127.0.0.1:${dns.port}`] },
      clock,
      flowLimits: { ...FLOW_LIMITS, flows: 2, ofSource: 2 },
    })
    const asker = () => askerOf(two, side === 'near' ? port : undefined)
    const at = side === 'near' ? `egress udp 127.0.0.1 port ${port}` : 'ingress udp mesh port 53'
    const [one, second, third] = [asker(), asker(), asker()]
    await untilAnswered(one, 'one')
    await untilAnswered(second, 'two')
    assert.is(two[side].flows.size, 2)
    for (let again = 0; again < 3; again += 1) third.ask('three')
    // What comes after it is answered, so it was looked at.
    await untilAnswered(one, 'one more')
    assert.equal(third.got, [])
    assert.not(dns.asked.some((each) => String(each) === 'three'))
    assert.is(two[side].flows.size, 2)
    assert.is(timesSaid(two[side], `proxy.flows-full ${at}`), 1)
    clock.skip(FLOW_LIMITS.idleMs)
    assert.is(two[side].flows.size, 0)
    await untilAnswered(third, 'three')
    assert.is(two[side].flows.size, 1)
    assert.is(timesSaid(two[side], `proxy.flows-full ${at}`), 1)
    for (const each of [one, second, third]) each.close()
  })
}

rule.run()
