import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { startGossip } from '../../../agent/mesh/gossip.ts'
import { tellOwn } from '../../../agent/mesh/gossip-parameters.ts'
import { Links } from '../../../agent/mesh/links.ts'
import type { MeshNode } from '../../../agent/mesh/node.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import { ENVELOPE_BYTES } from '../../../protocol/limits.ts'

const rule = suite('telling what a device says itself')
const statement = new Uint8Array(400)

/** A gossipsub with so many neighbours, and whether each publication went to all of them. */
function teller(neighbours: number) {
  const toAll: boolean[] = []
  return {
    toAll,
    getSubscribers: () => Array.from({ length: neighbours }),
    publish: async (_topic: string, _bytes: Uint8Array, how?: { floodPublish: boolean }) =>
      void toAll.push(how?.floodPublish ?? false),
  }
}

for (const [neighbours, bytes, isToAll] of [
  [12, statement, true],
  [24, new Uint8Array(ENVELOPE_BYTES), true],
  [32, statement, true],
  [33, statement, false],
  [1000, statement, false],
  [12, new Uint8Array(ENVELOPE_BYTES + 1), false],
] as const) {
  const whom = isToAll ? 'all' : 'some'
  rule(`${bytes.length} bytes go to ${whom} of ${neighbours} neighbours`, async () => {
    const gossip = teller(neighbours)
    await tellOwn(gossip, 'topic', bytes)
    assert.equal(gossip.toAll, [isToAll])
  })
}

rule('what others said and sync has taught goes no further than gossip goes', async () => {
  const gossip = { ...teller(12), topicValidators: new Map(), status: {} }
  const mesh = { gossip, topic: 'topic' } as unknown as MeshNode
  const started = startGossip(mesh, {
    links: new Links(),
    receive: () => 'accept',
    onFault: () => undefined,
    clock: systemClock,
    log: () => undefined,
  })
  await started.publish(statement)
  await started.passOn(statement)
  started.stop()
  assert.equal(gossip.toAll, [true, false])
})

rule.run()
