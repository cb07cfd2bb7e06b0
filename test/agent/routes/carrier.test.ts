import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { routerText } from '../../../agent/nexctl-routes.ts'
import {
  type Carrier,
  carrierAfter,
  carrierDueMs,
  FORGIVEN_MS,
  type Link,
  STAY_MS,
} from '../../../agent/routes/carrier.ts'
import { CarrierWatch, type CarrierWatchOptions } from '../../../agent/routes/carrier-watch.ts'
import type { RouteWish } from '../../../agent/routes/next-claim.ts'
import type { Links } from '../../../agent/routes/own-routes.ts'
import { type Prefix, parsePrefix } from '../../../protocol/address.ts'
import type { RouteAdvertisement, RouteState } from '../../../protocol/route-advertisement.ts'
import { seconds } from '../../../protocol/time.ts'
import { VirtualClock } from '../../../simulations/world/virtual-clock.ts'

const [ON, OFF]: readonly [Link, Link] = [
  { name: 'eth1', hasCarrier: true },
  { name: 'eth1', hasCarrier: false },
]
const rule = suite('the carrier of the link that a prefix lies behind')

/** Times at which it begins or ceases to be offered, when the link is so at each moment, looked at as often as it changes. */
function switches(linkAt: (ms: number) => Link, untilMs: number, everyMs = 500): number[] {
  let carrier: Carrier | undefined
  const found: number[] = []
  for (let nowMs = 0; nowMs <= untilMs; nowMs += everyMs) {
    const after = carrierAfter(carrier, linkAt(nowMs), nowMs)
    if (carrier !== undefined && after?.isOffered !== carrier.isOffered) found.push(nowMs)
    carrier = after
  }
  return found
}

rule('says nothing where no link is known', () => {
  assert.is(carrierAfter(undefined, undefined, 0), undefined)
})

rule('ends the offer at once when it goes, and makes it again when it has stayed', () => {
  const linkAt = (ms: number): Link => (ms >= 5000 && ms < 20_000 ? OFF : ON)
  assert.equal(switches(linkAt, 60_000), [5000, 20_000 + STAY_MS.first])
})

rule('is missing from the start: then nothing is offered before it has come and stayed', () => {
  const before = carrierAfter(undefined, OFF, 0)
  assert.is(before?.isOffered, false)
  const after = carrierAfter(before, ON, 1000)
  assert.ok(after !== undefined)
  assert.is(carrierDueMs(after), 1000 + STAY_MS.first)
})

rule('moves nobody more than twice in 10 minutes, flapping once a second', () => {
  const flapping = (ms: number): Link => (ms < 600_000 && ms % 1000 >= 500 ? OFF : ON)
  assert.equal(switches(flapping, 700_000), [500, 600_000 + STAY_MS.first])
})

rule('must stay twice as long after each further loss, and at most so long', () => {
  const waits: number[] = []
  let carrier = carrierAfter(undefined, ON, 0)
  let nowMs = 0
  while (waits.length < 9) {
    carrier = carrierAfter(carrierAfter(carrier, OFF, nowMs), ON, nowMs)
    const dueMs = carrier === undefined ? 0 : carrierDueMs(carrier)
    waits.push(dueMs - nowMs)
    assert.is(carrierAfter(carrier, ON, dueMs - 1)?.isOffered, false)
    carrier = carrierAfter(carrier, ON, dueMs)
    assert.is(carrier?.isOffered, true)
    nowMs = dueMs
  }
  const doubled = [1, 2, 4].map((times) => times * STAY_MS.first)
  assert.equal(waits.slice(0, 3), doubled)
  assert.equal(waits.slice(-2), [STAY_MS.most, STAY_MS.most])
})

rule('is as good as new when it has carried for long', () => {
  const linkAt = (ms: number): Link => (ms === 1000 || ms === 3000 + FORGIVEN_MS * 2 ? OFF : ON)
  const [, first, , second] = switches(linkAt, FORGIVEN_MS * 3)
  assert.is(first, 1500 + STAY_MS.first)
  assert.is(second, 3500 + FORGIVEN_MS * 2 + STAY_MS.first)
})

const watching = suite('the carrier watch')
const [LAN, FAR] = ['10.50.0.0/24', '10.60.0.0/24'].map(parsePrefix) as [Prefix, Prefix]
let [clock, states, links] = [
  new VirtualClock(),
  new Map<Prefix, RouteState>(),
  new Map<Prefix, Link>(),
]
let [said, logged, kept]: [string[], string[], (readonly Prefix[])[]] = [[], [], []]
let keptLinks: Links = new Map()
let alone: Link = OFF

function say(prefix: Prefix, { kind }: RouteWish): Promise<boolean> {
  said.push(`${kind} ${prefix}`)
  states.set(prefix, kind === 'drain' ? 'draining' : 'active')
  return Promise.resolve(true)
}

const watch = (other: Partial<CarrierWatchOptions> = {}): CarrierWatch =>
  new CarrierWatch({
    routes: () =>
      [...states].map(
        ([prefix, state]): RouteAdvertisement => ({
          ...{ prefix, state, epoch: 1, metric: 100, sequence: 1 },
          ...{ issuedAt: seconds(0), notAfter: seconds(0) },
        }),
      ),
    linksBehind: () => Promise.resolve(links),
    link: () => Promise.resolve(alone),
    say,
    keep: (drained, known) => {
      kept.push(drained)
      keptLinks = known
      return Promise.resolve()
    },
    clock,
    log: (_level, event) => void logged.push(event),
    ...other,
  })

/** What is said in so much time. */
async function saidIn(ms: number): Promise<readonly string[]> {
  await new Promise((resolve) => setImmediate(resolve))
  await clock.advance(ms)
  return said.splice(0)
}

/** The same after a look. */
function after(watched: CarrierWatch, ms = 0): Promise<readonly string[]> {
  watched.look()
  return saidIn(ms)
}

watching.before.each(() => {
  clock = new VirtualClock()
  states = new Map([LAN, FAR].map((prefix) => [prefix, 'active']))
  links = new Map([[LAN, ON]])
  alone = OFF
  ;[said, logged, kept] = [[], [], []]
})

watching('drains what lies behind a link without carrier, nothing else, and says why', async () => {
  using watched = watch()
  assert.equal(await after(watched), [])
  assert.is(watched.why(LAN), undefined)
  links = new Map([[LAN, OFF]])
  assert.equal(await after(watched), [`drain ${LAN}`])
  assert.is(watched.why(LAN), 'eth1 has no carrier')
  assert.is(watched.why(FAR), undefined)
  assert.equal(kept, [[], [LAN]])
  links = new Map([[LAN, ON]])
  assert.equal(await after(watched, 4000), [])
  assert.is(watched.why(LAN), 'eth1 has lost its carrier; offered again in 6 s')
  assert.equal(await saidIn(6001), [`advertise ${LAN}`])
  assert.equal(logged, ['route.carrier-lost', 'route.carrier-back'])
  assert.equal(kept.at(-1), [])
})

watching('goes by the link that was there, when its route goes with the carrier', async () => {
  using watched = watch()
  await after(watched)
  links = new Map()
  assert.equal(await after(watched), [`drain ${LAN}`])
  alone = ON
  assert.equal(await after(watched, 20_000), [`advertise ${LAN}`])
})

watching('keeps the link of each, and finds what has none by it at the next start', async () => {
  using before = watch()
  await after(before)
  assert.equal([...keptLinks], [[LAN, 'eth1']])
  await before.leave()
  assert.equal([...keptLinks], [[LAN, 'eth1']])
  // Its route has gone with the cable.
  links = new Map()
  using watched = watch()
  assert.equal([...(await watched.begin([LAN, FAR], keptLinks))], [LAN])
  states.set(LAN, 'draining')
  assert.equal(await after(watched, 30_000), [])
  assert.is(watched.why(LAN), 'eth1 has no carrier')
  alone = ON
  assert.equal(await after(watched, 20_000), [`advertise ${LAN}`])
})

watching(
  'finds nothing at a start where no link is known, or the host can’t be asked',
  async () => {
    links = new Map()
    using fresh = watch()
    assert.is((await fresh.begin([LAN], new Map())).size, 0)
    using failing = watch({ linksBehind: () => Promise.reject(new Error('no ip')) })
    assert.is((await failing.begin([LAN], new Map([[LAN, 'eth1']]))).size, 0)
    assert.equal(logged, ['route.carrier-unknown'])
  },
)

watching(
  'forgets the link of a prefix that is withdrawn, so that it may lie elsewhere',
  async () => {
    using watched = watch()
    await after(watched)
    states.delete(LAN)
    watched.update()
    await saidIn(0)
    assert.equal([...keptLinks], [])
    states.set(LAN, 'active')
    links = new Map()
    watched.update()
    assert.equal(await saidIn(0), [])
  },
)

for (const [what, name] of [
  ['that has none', 'eth1'],
  ['of a container bridge', 'docker0'],
] as const)
  watching(`sees the carrier of a link ${what} come, of which no event tells`, async () => {
    links = new Map([[LAN, { name, hasCarrier: false }]])
    using watched = watch()
    assert.equal(await after(watched), [`drain ${LAN}`])
    links = new Map([[LAN, { name, hasCarrier: true }]])
    assert.equal(await saidIn(5000 + STAY_MS.first + 100), [`advertise ${LAN}`])
  })

watching('sees the carrier of a container bridge go, of which no event tells', async () => {
  links = new Map([[LAN, { name: 'docker0', hasCarrier: true }]])
  using watched = watch()
  await after(watched)
  links = new Map([[LAN, { name: 'docker0', hasCarrier: false }]])
  assert.equal(await saidIn(5000), [`drain ${LAN}`])
})

watching('leaves drained what its operator drained, before or after the loss', async () => {
  using watched = watch()
  await after(watched)
  states.set(LAN, 'draining')
  links = new Map([[LAN, OFF]])
  assert.equal(await after(watched), [])
  links = new Map([[LAN, ON]])
  assert.equal(await after(watched, 60_000), [])
  states.set(LAN, 'active')
  links = new Map([[LAN, OFF]])
  assert.equal(await after(watched), [`drain ${LAN}`])
  await watched.leave()
  links = new Map([[LAN, ON]])
  assert.equal(await after(watched, 60_000), [])
})

watching('drains again what is offered meanwhile, by an operator or by a start', async () => {
  using watched = watch()
  links = new Map([[LAN, OFF]])
  assert.equal(await after(watched), [`drain ${LAN}`])
  states.set(LAN, 'active')
  watched.update()
  assert.equal(await saidIn(0), [`drain ${LAN}`])
})

watching('is what the status of the router tells, for people', () => {
  const why = 'eth1 has no carrier'
  const text = routerText({
    prefixes: [
      { prefix: LAN, state: 'draining', why },
      { prefix: FAR, state: 'active' },
    ],
    ...{ forwards: true, nat: true, blocks: [] },
  })
  assert.match(text, /10\.50\.0\.0\/24 draining: eth1 has no carrier/)
  assert.match(text, /10\.60\.0\.0\/24 active$/)
})

rule.run()
watching.run()
