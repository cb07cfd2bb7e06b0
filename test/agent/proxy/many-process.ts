/** Two proxies in a process of their own, with a thousand connections or ten thousand UDP flows between them, twice; it
 *  tells what they cost and what was left of them. Node is started with --expose-gc. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { FLOW_LIMITS } from '../../../agent/proxy/flow-table.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import { FAR } from '../../../simulations/world/stack-pair.ts'
import type { Figures, Round } from './many-figures.ts'
import { patientClock, skippingClock } from './skipping-clock.ts'
import {
  freePort,
  startTcpService,
  startTwoProxies,
  startUdpService,
  until,
} from './two-proxies.ts'

const [CONNECTIONS, FLOWS] = [1000, 10_000]

async function usedBytes(): Promise<number> {
  for (let time = 0; time < 3; time += 1) {
    if (globalThis.gc === undefined) throw new Error('node without --expose-gc')
    globalThis.gc()
    await systemClock.sleep(20)
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** What opens many, and ends them. */
interface Many {
  open(): Promise<number>
  close(): Promise<number>
}

async function measured(many: Many): Promise<Figures> {
  const before = await usedBytes()
  const rounds: Round[] = []
  for (let round = 0; round < 2; round += 1) {
    const there = await many.open()
    const [high, residentHigh] = [await usedBytes(), process.memoryUsage.rss()]
    const left = await many.close()
    rounds.push({ there, left, high, after: await usedBytes(), residentHigh })
  }
  return { before, rounds }
}

async function connections(): Promise<Figures> {
  await using web = await startTcpService('web')
  const port = await freePort()
  await using two = await startTwoProxies({
    near: { egress: [`tcp:${port}:far:80`] },
    far: { ingress: [`tcp:80:127.0.0.1:${web.port}`] },
    clock: patientClock(),
  })
  let clients: ReturnType<typeof connect>[] = []
  const greatest = () => Math.max(two.near.connections.size, two.far.connections.size)
  return await measured({
    open: async () => {
      clients = Array.from({ length: CONNECTIONS }, () => connect({ port, host: '127.0.0.1' }))
      for (const client of clients) client.write('x'.repeat(1000))
      await until(
        () => Math.min(two.near.connections.size, two.far.connections.size) >= CONNECTIONS,
      )
      return greatest()
    },
    close: async () => {
      const closed = clients.splice(0).map((client) => {
        client.destroy()
        return once(client, 'close')
      })
      await Promise.all(closed)
      await until(() => greatest() === 0)
      await until(() => two.near.stack.counts().active + two.far.stack.counts().active === 0)
      return greatest()
    },
  })
}

async function flows(): Promise<Figures> {
  const clock = skippingClock()
  // Of those that were there first none is idle for long when the last is.
  clock.hasten(1 / 100)
  await using dns = await startUdpService('dns')
  await using two = await startTwoProxies({
    far: { ingress: [`udp:53:127.0.0.1:${dns.port}`] },
    clock,
  })
  let close = () => {}
  return await measured({
    open: async () => {
      const waiting = new Set<number>()
      const sockets = Array.from({ length: FLOWS }, (_, index) => {
        waiting.add(index)
        return two.near.stack.bindUdp(0, ({ data }) => {
          if (String(Buffer.from(data)) === `dns:${index}`) waiting.delete(index)
        })
      })
      close = () => {
        for (const socket of sockets) socket.close()
      }
      while (waiting.size > 0) {
        let sent = 0
        for (const index of [...waiting]) {
          sockets[index]?.send(Buffer.from(String(index)), { address: FAR[4], port: 53 })
          sent += 1
          if (sent % 100 === 0) await systemClock.sleep(5)
        }
        await systemClock.sleep(200)
      }
      dns.asked.splice(0)
      return two.far.flows.size
    },
    close: async () => {
      close()
      close = () => {}
      clock.skip(FLOW_LIMITS.idleMs)
      return two.far.flows.size
    },
  })
}

const told = process.argv[2] === 'flows' ? await flows() : await connections()
process.stdout.write(`${JSON.stringify(told)}\n`)
process.exit(0)
