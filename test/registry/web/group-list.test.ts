import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import { parseInput } from '../../../registry/problem.ts'
import { GROUP_LIST } from '../../../registry/web/group-list.ts'

const rule = suite('groups as people type them')
const read = (groups: string) => parseInput(z.object({ groups: GROUP_LIST }), { groups }).groups

rule('are separated by commas, with spaces or without, and may be none', () => {
  assert.equal(read(' db, web,edge ,, '), ['db', 'web', 'edge'])
  assert.equal(read(''), [])
})

rule('are refused by name and limit', () => {
  const list = (count: number) => Array.from({ length: count }, (_, at) => `group-${at}`).join()
  assert.is(read(list(16)).length, 16)
  assert.throws(() => read(list(17)), /^groups: .*16/)
  assert.throws(() => read(`db, ${'x'.repeat(129)}`), /^groups\.1: .*128/)
  assert.throws(() => read('db, we\u0000b'), /^groups\.1: holds control characters/)
  assert.throws(() => read('x'.repeat(2049)), /^groups: .*2048/)
})

rule.run()
