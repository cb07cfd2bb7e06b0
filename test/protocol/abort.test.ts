import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { abortConnection } from '../../protocol/abort.ts'

const rule = suite('the end of a connection')
const cause = new Error('no member any more')

rule('is told its cause once', () => {
  const told: Error[] = []
  abortConnection({ abort: (error) => told.push(error) }, cause)
  assert.equal(told, [cause])
})

rule('comes although a last frame cannot be sent any more', () => {
  let muxer = 'open'
  let transport = 'open'
  const connection = {
    abort: () => {
      if (muxer === 'open') {
        muxer = 'ended'
        throw new Error('Cannot write to a stream that is closing')
      }
      transport = 'ended'
    },
  }
  abortConnection(connection, cause)
  assert.equal([muxer, transport], ['ended', 'ended'])
})

rule.run()
