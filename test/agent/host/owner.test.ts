/** Whose mark it is: alive, dead, nobody's or of another process namespace. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ownerIn, ownerMark, ownerPid } from '../../../agent/host/owner.ts'

const rule = suite('owner')

rule('knows its own mark as that of a running agent', () => {
  const mark = ownerMark()
  assert.match(mark, /^nexodus \d+ \d+ \d+$/)
  assert.is(ownerIn(`comment "${mark}"`), 'running')
  assert.is(ownerPid(mark), `${process.pid}`)
})

rule('knows the mark of a process that ended', async () => {
  const module = new URL('../../../agent/host/owner.ts', import.meta.url)
  const script = `console.log((await import('${module}')).ownerMark()); setInterval(() => {}, 1e4)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script])
  const [chunk] = (await once(child.stdout, 'data')) as [Buffer]
  const mark = chunk.toString().trim()
  assert.is(ownerIn(mark), 'running')
  child.kill('SIGKILL')
  await once(child, 'exit')
  assert.is(ownerIn(mark), 'gone')
})

rule('is not deceived by another process with the same id', () => {
  const [word, namespace, pid] = ownerMark().split(' ')
  assert.is(ownerIn(`${word} ${namespace} ${pid} 1`), 'gone')
})

rule('cannot tell of a process of another namespace', () => {
  assert.is(ownerIn(`nexodus 1 ${process.pid} 1`), 'elsewhere')
})

rule('sees no mark in what others write', () => {
  for (const text of ['', 'uplink', 'nexodus', 'nexodus 1 2']) assert.is(ownerIn(text), 'unmarked')
})

rule.run()
