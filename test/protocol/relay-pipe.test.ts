import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { relayPipe } from '../../protocol/relay-pipe.ts'

const rule = suite('relay pipe')

/** A stream whose connection is closing: libp2p still calls it open, and throws. */
function closing() {
  const aborted: string[] = []
  const fail = (): never => {
    throw new Error('Cannot write to a stream that is closing')
  }
  const stream = {
    status: 'open',
    writeStatus: 'writable',
    writeBufferLength: 7,
    send: fail,
    pause: () => undefined,
    resume: fail,
    abort: (cause: Error) => aborted.push(cause.message),
  }
  return { pipe: relayPipe(stream, (task) => task()), aborted }
}

rule('ends a stream that can neither send nor read on, and throws nothing', () => {
  const { pipe, aborted } = closing()
  assert.is(pipe.waiting(), 7)
  assert.not(pipe.send(new Uint8Array(1)))
  pipe.resume()
  assert.equal(aborted.length, 2)
  assert.match(aborted[0] ?? '', /closing/)
})

rule.run()
