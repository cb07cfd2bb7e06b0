import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type CheckBudget, newCheckBudget } from '../../../agent/path/check-budget.ts'
import { generateSigningKeyPair } from '../../../crypto/signing.ts'
import { type Endpoint, parseEndpoint } from '../../../protocol/address.ts'
import { type DeviceId, deviceIdOf } from '../../../protocol/keys.ts'

const device = (): DeviceId => deviceIdOf(generateSigningKeyPair<'device'>().publicKey)
const [MALLORY, ANA] = [device(), device()]
const VICTIM = '198.51.100.7'
const at = (port: number, host = VICTIM): Endpoint => parseEndpoint(`${host}:${port}`)
const HOUR_MS = 3_600_000

/** Packets that go out while as many as 50 a second are wanted, each to the next endpoint. */
function sent(
  budget: CheckBudget,
  forMs: number,
  next: (index: number) => Endpoint,
  by = MALLORY,
): number {
  let count = 0
  for (let index = 0; index < forMs / 20; index++) {
    if (budget.take(by, next(index), index * 20)) count += 1
  }
  return count
}

const rule = suite('check budget (SPEC §10.9)')

rule('an address that never answers gets 64 packets at once, and then one a second', () => {
  const budget = newCheckBudget()
  assert.is(
    sent(budget, 2000, (index) => at(1024 + index)),
    64 + 1,
  )
  assert.is(
    sent(newCheckBudget(), 60_000, (index) => at(1024 + index)),
    64 + 59,
  )
})

rule('and after ten minutes four a minute, whatever ports are named', () => {
  const count = sent(newCheckBudget(), HOUR_MS, (index) => at(1 + (index % 60_000)))
  assert.ok(count <= 600 + 240 + 1, `${count} in an hour`)
})

rule('many addresses that never answer get together 400 packets, and then two a second', () => {
  const count = sent(newCheckBudget(), HOUR_MS, (index) =>
    at(9, `10.${(index >> 8) & 255}.${index & 255}.1`),
  )
  assert.ok(count <= 400 + 2 * 3600 + 1, `${count} in an hour`)
})

rule('an IPv6 network of one site counts as one address', () => {
  const inSite = (index: number) => parseEndpoint(`[2001:db8:1:2::${(index + 1).toString(16)}]:9`)
  assert.is(sent(newCheckBudget(), 2000, inSite), 64 + 1)
})

rule('an endpoint that answered is not bounded, for ten minutes; another port of it is', () => {
  const budget = newCheckBudget()
  budget.proved(MALLORY, at(1), 0)
  assert.is(
    sent(budget, 599_000, () => at(1)),
    599_000 / 20,
  )
  assert.ok(sent(budget, 10_000, (index) => at(2 + index)) < 80)
  assert.not(Array.from({ length: 200 }, () => budget.take(MALLORY, at(1), 600_001)).every(Boolean))
})

rule('a peer that checks us from there again is answered in kind, a few times', () => {
  const budget = newCheckBudget()
  sent(budget, HOUR_MS, () => at(1))
  const tries = (): number =>
    Array.from({ length: 20 }, () => budget.take(MALLORY, at(1), HOUR_MS)).filter(Boolean).length
  assert.ok(tries() <= 1)
  budget.heard(MALLORY, at(1), HOUR_MS)
  assert.is(tries(), 4)
  assert.not(budget.take(MALLORY, at(2), HOUR_MS))
})

rule('what one member names takes nothing from another, at the same address', () => {
  const budget = newCheckBudget()
  sent(budget, 60_000, (index) => at(1 + index))
  assert.is(
    Array.from({ length: 48 }, () => budget.take(ANA, at(51820), 60_000)).filter(Boolean).length,
    48,
  )
  budget.proved(ANA, at(51820), 60_000)
  assert.ok(sent(budget, 10_000, () => at(51820), MALLORY) < 80, 'proved for her, not for another')
})

rule('all members together get 800 a second', () => {
  const budget = newCheckBudget()
  const devices = Array.from({ length: 50 }, device)
  const taken = devices.flatMap((each, host) =>
    Array.from({ length: 50 }, () => budget.take(each, at(9, `192.0.2.${host + 1}`), 0)),
  )
  assert.is(taken.filter(Boolean).length, 800)
  assert.ok(budget.take(MALLORY, at(1), 1000))
})

rule.run()
