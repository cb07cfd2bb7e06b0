/** Datagrams in bunches where the way is too narrow for one of them: each arrives all the same. */
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { needs } from '../../../support/needs.ts'
import { joinedNamespaces } from '../namespaces.ts'

needs('root', 'netns')

const SCRIPT = fileURLToPath(new URL('outbound-process.ts', import.meta.url))
const TURN = '1452 1452 1452 1452 1452 96'
const rule = suite('datagrams that leave by a real interface')

for (const mtu of [65_536, 1500, 1300]) {
  rule(`arrive whole and in order where its MTU is ${mtu}`, async () => {
    const [host, other] = await joinedNamespaces()
    try {
      await host.sh(`ip link set lo mtu ${mtu} up`)
      const said = await host.sh(`${process.execPath} ${SCRIPT}`)
      assert.equal(said.trim().split('\n'), [`${TURN} ${TURN}`, `${TURN} ${TURN}`])
    } finally {
      for (const each of [host, other]) await each[Symbol.asyncDispose]()
    }
  })
}

rule.run()
