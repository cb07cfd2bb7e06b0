import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Progress } from '../../../simulations/demo/progress.ts'

const rule = suite('the progress of the demonstration')

function screenOf(isTTY: boolean) {
  const written: string[] = []
  return { isTTY, columns: 40, written, write: (text: string) => written.push(text) }
}

const failing = () => Promise.reject(new Error('broken'))
const messageOf = (error: Error): string => error.message

rule('is a plain line for each step where nobody looks live', async () => {
  const screen = screenOf(false)
  await new Progress(screen).step('baking', async () => 'baked\n  a cake')
  assert.is(screen.written.length, 1)
  assert.match(screen.written.join(''), /^ ✓ +\d+\.\d s {2}baked\n {14}a cake\n$/)
})

rule('names what was being done when it failed, and throws on', async () => {
  const screen = screenOf(false)
  const said = await new Progress(screen).step('baking', failing).catch(messageOf)
  assert.is(said, 'broken')
  assert.match(screen.written.join(''), /^ ✗ +\d+\.\d s {2}baking\n$/)
})

rule('draws over the line under way on a terminal, and never a line that wraps', async () => {
  const screen = screenOf(true)
  await new Progress(screen).step('baking '.repeat(20), async () => 'baked')
  const [live = '', done = ''] = screen.written
  assert.is(screen.written.length, 2)
  assert.ok(live.startsWith('\r\x1b[2K'))
  assert.is(live.slice('\r\x1b[2K'.length).length, screen.columns - 1)
  assert.ok(done.startsWith('\r\x1b[2K'))
  assert.match(done, /baked\n$/)
})

rule.run()
