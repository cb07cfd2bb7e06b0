import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { BACKOFF, NO_ENDINGS, nextStart } from '../../../agent/organizations/backoff.ts'
import { freeLabel, freeSlot, placeOf } from '../../../agent/organizations/place.ts'

const FIRST = {
  stateDir: '/var/lib/nexd',
  interfaceName: 'nexodus0',
  listenPort: 51820,
  meshListen: ['/ip4/0.0.0.0/tcp/51822', '/ip6/::/tcp/0'],
}

const rule = suite('the place of a further organization')

rule('is below the state directory, with an interface and ports of its own', () => {
  assert.equal(placeOf(FIRST, 'beta', 2), {
    folder: '/var/lib/nexd/organizations/beta',
    socket: '/var/lib/nexd/organizations/beta/nexd.sock',
    interfaceName: 'nexodus0-2',
    listenPort: 51840,
    meshListen: ['/ip4/0.0.0.0/tcp/51842', '/ip6/::/tcp/0'],
  })
})

rule('shortens an interface name that would be too long', () => {
  const { interfaceName } = placeOf({ ...FIRST, interfaceName: 'a-very-long-one' }, 'beta', 7)
  assert.is(interfaceName, 'a-very-long-o-7')
})

rule('is refused where its socket or a port cannot be, by name, limit and value', () => {
  const deep = { ...FIRST, stateDir: `/${'x'.repeat(90)}` }
  assert.throws(() => placeOf(deep, 'beta', 1), /nexd\.sock has 120 bytes, at most 107/)
  const high = { ...FIRST, listenPort: 65_530 }
  assert.throws(() => placeOf(high, 'beta', 1), /port 65540 .* beyond 65534/)
})

rule('takes the lowest slot and a label that nobody has', () => {
  assert.equal([freeSlot([]), freeSlot([1, 2, 4]), freeSlot([2])], [1, 3, 1])
  assert.is(freeLabel('https://Registry.Example:3000/', []), 'registry-example')
  assert.is(freeLabel('https://a.b/', ['a-b', 'a-b-2']), 'a-b-3')
  assert.match(freeLabel(`https://${'x'.repeat(60)}.example/`, []), /^x{20}$/)
  assert.is(freeLabel('http://[::1]/', []), '1')
})

rule('is started again after ever longer waits, and at once after a long run', () => {
  let endings = NO_ENDINGS
  const waits = Array.from({ length: 9 }, () => {
    const next = nextStart(endings, 100)
    endings = next.endings
    return next.delayMs
  })
  assert.equal(waits, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000])
  assert.is(nextStart(endings, BACKOFF.steady).delayMs, 1000)
})

rule.run()
