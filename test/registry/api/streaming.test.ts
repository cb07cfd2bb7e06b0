/** Answers that are written bit by bit, to clients that take them slowly, or not at all. */
import { createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import type { Response } from 'express'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { writeLines } from '../../../registry/api/streaming.ts'
import { systemClock } from '../../../registry/system-clock.ts'

const rule = suite('streamed answers')

const LINE = 'x'.repeat(64 * 1024)

/** A server that answers with lines until it is stopped, and a client that has asked. */
async function scene() {
  const waits = new Set<() => void>()
  const clock = {
    after(_ms: number, task: () => void) {
      waits.add(task)
      return { cancel: () => void waits.delete(task) }
    },
  }
  const seen = { lines: 0, mostListeners: 0, isOver: false, isStopped: false }
  const server = createServer((_request, answer) => {
    async function* lines() {
      try {
        for (; !seen.isStopped; seen.lines++) {
          const listeners = (event: string) => answer.listenerCount(event)
          const count = listeners('close') + listeners('error') + listeners('drain')
          seen.mostListeners = Math.max(seen.mostListeners, count)
          yield LINE
        }
      } finally {
        seen.isOver = true
      }
    }
    void writeLines(answer as unknown as Response, clock, lines())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const client: Socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  client.pause()
  client.on('error', () => undefined)
  client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  return {
    ...{ client, seen, waits },
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        client.destroy()
        server.close(() => resolve())
      }),
  }
}

/** Until nothing more is taken. */
async function stalled(seen: { readonly lines: number }): Promise<void> {
  for (let before = -1; before !== seen.lines || before === 0; ) {
    before = seen.lines
    await systemClock.sleep(300)
  }
}

async function until(holds: () => boolean): Promise<void> {
  for (let turn = 0; turn < 500 && !holds(); turn++) await systemClock.sleep(10)
  assert.ok(holds())
}

rule('a client that takes nothing is cut, and nothing more is read for it', async () => {
  await using here = await scene()
  await stalled(here.seen)
  assert.equal([here.waits.size, here.seen.isOver], [1, false])
  for (const task of here.waits) task()
  await until(() => here.seen.isOver)
  assert.is(here.waits.size, 0)
})

rule('a client that takes a lot, slowly, leaves no listeners and no timers behind', async () => {
  await using here = await scene()
  await stalled(here.seen)
  const before = here.seen.lines
  here.client.resume()
  await until(() => here.seen.lines > before + 1000)
  here.seen.isStopped = true
  await until(() => here.seen.isOver)
  assert.ok(here.seen.mostListeners < 10, `${here.seen.mostListeners} listeners`)
  assert.is(here.waits.size, 0)
})

rule('what a client that has gone would get is not read', async () => {
  await using here = await scene()
  await stalled(here.seen)
  here.client.destroy()
  await until(() => here.seen.isOver)
  assert.is(here.waits.size, 0)
})

rule.run()
