import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { createLab } from '../../../simulations/lab/lab.ts'
import { ping } from '../../../simulations/lab/ping.ts'
import { needs } from '../../support/needs.ts'

needs('root', 'netns', 'ping')

const rule = suite('pings in the laboratory')

rule('counts a silence that lasts to the end, or from the start', async () => {
  using lab = await createLab({ sites: [{ kind: 'public' }, { kind: 'public' }] })
  const [from, address] = [lab.host(1).namespace, lab.host(2).address]
  const options = { count: 60, intervalMs: 20, waitMs: 300 }
  const dying = ping(from, address, options)
  await sleep(400)
  await lab.link(false, 2)
  const { received, longestSilenceMs } = await dying
  assert.ok(received > 0 && longestSilenceMs >= (59 - received) * 20, `${longestSilenceMs} ms`)
  assert.is((await ping(from, address, options)).longestSilenceMs, 60 * 20)
})

rule.run()
