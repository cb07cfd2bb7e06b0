import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RelayQueue } from '../../protocol/relay-queue.ts'

const rule = suite('relay queue')
const FRAME = new Uint8Array(1400)

/** A stream that keeps all that it is sent, and says each time that there is room. */
function stuck() {
  let waiting = 0
  const due: (() => void)[] = []
  const queue = new RelayQueue({
    isOpen: () => true,
    waiting: () => waiting,
    send: (bytes) => {
      waiting += bytes.length
      return false
    },
    soon: (task) => due.push(task),
  })
  const turn = (): void => {
    for (const task of due.splice(0)) task()
    queue.drained()
  }
  return { queue, turn, waiting: () => waiting }
}

rule('drops what does not fit, however often it is told that there is room for some bytes', () => {
  const { queue, turn, waiting } = stuck()
  for (let round = 0; round < 50; round += 1) {
    for (let count = 0; count < 64; count += 1) queue.send(FRAME)
    turn()
  }
  assert.ok(waiting() <= 131_072, `${waiting()} bytes wait`)
  assert.not(queue.send(FRAME))
})

rule.run()
