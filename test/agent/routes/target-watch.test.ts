/** Targets behind routers, watched over a while: users go from one router to the other as the targets fail (SPEC §8.6). */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RouteWatch } from '../../../agent/routes/route-watch.ts'
import { parseIpAddress, parsePrefix } from '../../../protocol/address.ts'
import type { RouteClaim } from '../../../protocol/belief.ts'
import { openEnvelope } from '../../../protocol/envelope.ts'
import { parseRouteProbe } from '../../../protocol/route-probe.ts'
import { VirtualClock } from '../../../simulations/world/virtual-clock.ts'
import { type TestDevice, testOrganization } from '../../support/organization.ts'

const acme = testOrganization('acme')
const [user, first, second] = [acme.device('user'), acme.device('first'), acme.device('second')]
const LAN = parsePrefix('192.168.2.0/24')
const probe = parseRouteProbe('icmp:192.168.2.12')
const claim = (device: TestDevice): RouteClaim => {
  const envelope = openEnvelope(acme.route(device, LAN, { probe }))
  if (envelope.kind !== 'route-advertisement') throw new Error(envelope.kind)
  return { device: device.id, prefix: LAN, envelope }
}
const view = { claims: new Map([[LAN, [claim(first), claim(second)]]]), standbys: new Map() }

/** The user's watch, while packets go to all. */
function watchOf(targetFails: (router: string | undefined) => boolean) {
  const clock = new VirtualClock()
  let sent = 0
  const watch: RouteWatch = new RouteWatch({
    ...{ device: user.id, clock, log: () => undefined },
    prober: {
      echo: async () => 40,
      probe: async () => (targetFails(carrier()) ? undefined : 40),
    },
    addressOf: () => parseIpAddress('100.64.0.2'),
    mayEcho: () => true,
    path: () => ({ kind: 'idle' }),
    sentBytes: async () => {
      sent += 100_000
      return new Map([first, second].map(({ id }) => [id, sent]))
    },
    nameOf: (device) => (device === first.id ? 'first' : 'second'),
    reachesAnybody: () => true,
    exitPreference: () => ({ kind: 'off' }),
    onChange: () => watch.update(view),
  })
  const carrier = (): string | undefined => {
    const device = watch.choice(LAN)?.device
    return [first, second].find(({ id }) => id === device)?.name
  }
  watch.update(view)
  // As the daemon does: who is used is asked more often.
  clock.every(5000, () => watch.update(view))
  return { watch, clock, carrier }
}

const rule = suite('targets behind routers')

rule('are left in turn within 3 seconds, where what is behind the first is mended', async () => {
  let failing = ''
  const { watch, clock, carrier } = watchOf((router) => router === failing)
  using _ = watch
  await clock.advance(20_000)
  assert.is(carrier(), 'first')
  failing = 'first'
  await clock.advance(3000)
  assert.is(carrier(), 'second')
  await clock.advance(8000)
  failing = 'second'
  await clock.advance(3000)
  assert.is(carrier(), 'first')
})

rule('are not changed for one that failed lately where the other never answered', async () => {
  let isDown = false
  const { watch, clock, carrier } = watchOf(() => isDown)
  using _ = watch
  await clock.advance(20_000)
  isDown = true
  await clock.advance(3000)
  assert.is(carrier(), 'second')
  await clock.advance(20_000)
  assert.is(carrier(), 'second')
})

rule.run()
