import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { PacedLatest } from '../../../agent/organizations/paced-latest.ts'

function scene() {
  const heard: { readonly n: number }[] = []
  const waiting: (() => void)[] = []
  const clock = {
    after: (ms: number, task: () => void) => {
      assert.is(ms, 250)
      waiting.push(task)
      return { cancel: () => undefined }
    },
  }
  const paced = new PacedLatest<{ readonly n: number }>(250, clock, (said) => void heard.push(said))
  return { paced, pass: () => waiting.shift()?.(), ns: () => heard.map(({ n }) => n) }
}

const rule = suite('what is said again and again')

rule('is heard at once, then the latest after each interval, and at once after a rest', () => {
  const { paced, pass, ns } = scene()
  for (let n = 1; n <= 100; n++) paced.say({ n })
  assert.equal(ns(), [1])
  pass()
  assert.equal(ns(), [1, 100])
  pass()
  assert.equal(ns(), [1, 100])
  paced.say({ n: 101 })
  assert.equal(ns(), [1, 100, 101])
})

rule.run()
