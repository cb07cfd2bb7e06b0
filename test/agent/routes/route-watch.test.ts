import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RouteWatch } from '../../../agent/routes/route-watch.ts'
import { parsePrefix } from '../../../protocol/address.ts'
import type { RouteClaim } from '../../../protocol/belief.ts'
import { openEnvelope } from '../../../protocol/envelope.ts'
import { VirtualClock } from '../../../simulations/world/virtual-clock.ts'
import { type TestDevice, testOrganization } from '../../support/organization.ts'

const acme = testOrganization('acme')
const [laptop, phone] = [acme.device('laptop'), acme.device('phone')]
const ADDRESS = parsePrefix('10.99.0.1/32')
const claim = (device: TestDevice, epoch: number): RouteClaim => {
  const envelope = openEnvelope(acme.route(device, ADDRESS, { epoch }))
  if (envelope.kind !== 'route-advertisement') throw new Error(envelope.kind)
  return { device: device.id, prefix: ADDRESS, envelope }
}
const view = (...claims: readonly RouteClaim[]) => ({
  claims: new Map([[ADDRESS, claims]]),
  standbys: new Map(),
})

/** The phone's watch, and what it says. */
function watchOf() {
  const said: unknown[] = []
  const watch = new RouteWatch({
    device: phone.id,
    clock: new VirtualClock(),
    log: (_level, event, fields) => void said.push([event, fields?.['to']]),
    prober: { echo: async () => undefined, probe: async () => undefined },
    addressOf: () => undefined,
    mayEcho: () => true,
    path: () => ({ kind: 'idle' }),
    sentBytes: async () => new Map(),
    nameOf: (device) => (device === laptop.id ? 'laptop' : 'phone'),
    reachesAnybody: () => true,
    exitPreference: () => ({ kind: 'off' }),
    onChange: () => undefined,
  })
  return { watch, said }
}

const rule = suite('route watch')

rule('tells who lost a prefix, once', () => {
  const { watch, said } = watchOf()
  using _ = watch
  watch.update(view(claim(phone, 2)))
  assert.equal(said, [])
  for (let look = 0; look < 3; look += 1) watch.update(view(claim(laptop, 3), claim(phone, 2)))
  assert.equal(said, [['route.lost', 'laptop']])
})

rule('tells who lost it while it was off, too, and nobody who never claimed it', () => {
  const { watch, said } = watchOf()
  using _ = watch
  for (let look = 0; look < 3; look += 1) watch.update(view(claim(laptop, 3), claim(phone, 2)))
  assert.equal(said, [['route.lost', 'laptop']])
  const other = watchOf()
  other.watch.update(view(claim(laptop, 3)))
  assert.equal(other.said, [])
  other.watch[Symbol.dispose]()
})

rule.run()
