import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RegistryAddresses } from '../../../agent/routes/registry-addresses.ts'
import { type IpAddress, parseIpAddress } from '../../../protocol/address.ts'

const rule = suite('addresses of registries')
const URLS = ['https://registry.example']
const [FIRST, SECOND] = ['192.0.2.1', '192.0.2.2'].map(parseIpAddress) as [IpAddress, IpAddress]

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Time passes only where somebody waits for it, and all at once. */
function scene() {
  const answers: ((addresses: readonly IpAddress[]) => void)[] = []
  const clock = {
    nowMs: 0,
    monotonicMs: () => clock.nowMs,
    sleep: async (ms: number, signal?: AbortSignal) => {
      await settled()
      if (signal?.aborted !== true) clock.nowMs += ms
    },
  }
  const find = () => new Promise<readonly IpAddress[]>((resolve) => void answers.push(resolve))
  let lateCount = 0
  const addresses = new RegistryAddresses(clock, find)
  const lookUp = () => addresses.lookUpAside(URLS, () => void lateCount++)
  return { addresses, clock, answers, lookUp, late: () => lateCount }
}

rule('are waited for at first, and for two seconds at most', async () => {
  const { addresses, clock, answers, lookUp, late } = scene()
  await lookUp()
  assert.is(clock.nowMs, 2000)
  await lookUp()
  assert.is(clock.nowMs, 2000, 'one look-up is under way')
  assert.is(answers.length, 1)
  answers[0]?.([FIRST])
  await settled()
  assert.equal(addresses.current, [FIRST])
  assert.is(late(), 1)
})

rule('hold nobody up when they are looked up again, and tell of another one', async () => {
  const { addresses, clock, answers, lookUp, late } = scene()
  const first = lookUp()
  answers[0]?.([FIRST])
  await first
  assert.is(late(), 0, 'who waited knows')
  clock.nowMs = 400_000
  await lookUp()
  assert.is(clock.nowMs, 400_000)
  assert.equal(addresses.current, [FIRST])
  answers[1]?.([SECOND])
  await settled()
  assert.equal(addresses.current, [SECOND])
  assert.is(late(), 1)
})

rule.run()
