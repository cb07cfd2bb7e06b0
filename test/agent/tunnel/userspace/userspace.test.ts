// time limit: 180 s
/** The contract of tunnels inside the process, and what only they promise: that they touch nothing of the host. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { needs } from '../../../support/needs.ts'
import { tunnelContract } from '../contract.ts'
import { at, config, peerOf, type Side, startSides } from '../sides.ts'

needs('root', 'netns')
tunnelContract('userspace')

const rule = suite('userspace')
let sides: readonly [Side, Side]

rule.before(async () => {
  sides = await startSides('userspace')
})
rule.after(async () => {
  for (const { tunnel } of sides) await tunnel[Symbol.asyncDispose]()
  for (const { host } of sides) await host[Symbol.asyncDispose]()
})

rule('makes no interface, address, route or rule, and leaves its port when it ends', async () => {
  const [a, b] = sides
  const shown = (): Promise<string> =>
    a.host.sh('ip -brief link; ip -4 address; ip -4 route show table all; ip rule; ip -6 rule')
  const before = await shown()
  await b.tunnel.configure(config(b, peerOf(a)))
  await a.tunnel.configure(config(a, { ...peerOf(b), endpoint: at(b.host.ipv4) }))
  assert.ok(await a.reach.pings('100.64.0.2'))
  assert.is(await shown(), before)
  assert.match(await a.host.sh('ss -Hlnu'), /:51820/)
  await a.tunnel[Symbol.asyncDispose]()
  assert.is(await a.host.sh('ss -Hlnu'), '')
  assert.equal(await a.host.processes(), [])
})

rule.run()
