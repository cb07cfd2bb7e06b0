import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Link, LinkKind } from '../../../agent/mesh/links.ts'
import { surplusLinks } from '../../../agent/mesh/surplus.ts'

const rule = suite('surplus connections')
const link = (kind: LinkKind, direction: 'inbound' | 'outbound', sinceMs = 0): Link =>
  ({ kind, peer: 'bee', sinceMs, connection: { direction } }) as unknown as Link
const [mine, theirs] = [link('direct', 'outbound'), link('direct', 'inbound')]
const [overlay, circuit] = [link('overlay', 'outbound'), link('circuit', 'outbound')]

rule('keeps the one that the lower peer id dialled, so that both ends keep the same', () => {
  assert.equal(surplusLinks([theirs, mine], 'ant'), [theirs])
  assert.equal(surplusLinks([mine, theirs], 'cow'), [mine])
})

rule('keeps the older of two alike', () => {
  const young = link('direct', 'outbound', 5)
  assert.equal(surplusLinks([young, mine], 'ant'), [young])
})

rule('keeps nothing beside a direct connection', () => {
  assert.equal(
    new Set(surplusLinks([circuit, overlay, theirs], 'ant')),
    new Set([overlay, circuit]),
  )
})

rule('keeps a circuit beside the overlay, which a broken tunnel takes away', () => {
  assert.equal(surplusLinks([overlay, circuit], 'ant'), [])
  const second = link('circuit', 'inbound')
  assert.equal(surplusLinks([second, overlay, circuit], 'ant'), [second])
})

rule('leaves a single connection alone', () => {
  for (const each of [mine, overlay, circuit]) assert.equal(surplusLinks([each], 'ant'), [])
})

rule.run()
