/** One end of TCP streams in the laboratory: numbers both ways at a steady pace, and what became of them. Errands come as
 *  lines of JSON, from `stream.ts`. */
import { connect, createServer, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import type { StreamEnd, StreamErrand } from './stream.ts'

/** Milliseconds between two numbers: 50 a second each way. */
const INTERVAL_MS = 20
/** Milliseconds that the end of a stream may take. */
const END_MS = 60_000

interface Stream {
  readonly ended: Promise<StreamEnd>
  stop(): void
  /** Where it does not end in time. */
  giveUp(): void
}

const streams: Stream[] = []

function begin(socket: Socket): void {
  let [sent, received, longestSilenceMs, heardMs] = [0, 0, 0, performance.now()]
  let fault: string | undefined
  socket.setNoDelay(true)
  const sending = setInterval(() => {
    socket.write(`${sent}\n`)
    sent += 1
  }, INTERVAL_MS)
  const stop = (): void => {
    clearInterval(sending)
    socket.end()
  }
  const ended = Promise.withResolvers<StreamEnd>()
  const giveUp = (): void => void socket.destroy(new Error(`not ended within ${END_MS} ms`))
  streams.push({ ended: ended.promise, stop, giveUp })
  const numbers = createInterface({ input: socket })
  // It repeats what the socket says.
  numbers.on('error', () => undefined)
  numbers.on('line', (line) => {
    const nowMs = performance.now()
    longestSilenceMs = Math.max(longestSilenceMs, nowMs - heardMs)
    heardMs = nowMs
    if (line !== String(received)) fault ??= `${line} came where ${received} was due`
    received += 1
  })
  socket.on('end', stop)
  socket.on('error', ({ message }) => {
    fault ??= message
  })
  socket.on('close', () => {
    clearInterval(sending)
    ended.resolve({ sent, received, longestSilenceMs, ...(fault === undefined ? {} : { fault }) })
  })
}

async function run(errand: StreamErrand): Promise<unknown> {
  switch (errand.kind) {
    case 'listen':
      return new Promise((resolve, reject) => {
        createServer({ allowHalfOpen: true }, begin)
          .once('error', reject)
          .listen(errand.port, () => resolve(true))
      })
    case 'open':
      return new Promise((resolve, reject) => {
        const { address: host, port } = errand
        const socket = connect({ host, port, allowHalfOpen: true }, () => {
          begin(socket)
          resolve(true)
        }).once('error', reject)
      })
    case 'stop':
      for (const { stop } of streams) stop()
      return allEnded()
    case 'ended':
      return allEnded()
  }
}

async function allEnded(): Promise<readonly StreamEnd[]> {
  const giving = setTimeout(() => {
    for (const { giveUp } of streams) giveUp()
  }, END_MS)
  const ends = await Promise.all(streams.map(({ ended }) => ended))
  clearTimeout(giving)
  return ends
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    const answer = await run(JSON.parse(line) as StreamErrand)
    process.stdout.write(`${JSON.stringify({ answer })}\n`)
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error)
    process.stdout.write(`${JSON.stringify({ error: said })}\n`)
  }
}
