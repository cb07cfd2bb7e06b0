import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { startLocalCandidates } from '../../../agent/path/candidates.ts'
import {
  natMappingOf,
  type Observation,
  reflexiveEndpoints,
  withObservation,
} from '../../../agent/path/observations.ts'
import {
  formatEndpoint,
  parseEndpoint,
  parseIpAddress,
  parsePrefix,
} from '../../../protocol/address.ts'
import type { Candidate } from '../../../protocol/endpoint-update.ts'
import { VirtualClock } from '../../../simulations/world/virtual-clock.ts'

const HOST = [parseEndpoint('192.168.1.10:51820')]
/** `observer sees mapped`, a second apart. */
function seen(...texts: string[]): readonly Observation[] {
  return texts.reduce<readonly Observation[]>((known, text, index) => {
    const [observer = '', mapped = ''] = text.split(' sees ').map((each) => each.trim())
    const one = { observer: parseEndpoint(observer), mapped: parseEndpoint(mapped) }
    return withObservation(known, { ...one, seenMs: index * 1000 }, -Infinity)
  }, [])
}

const mapping = suite('observations (RFC 4787 §4.1)')

for (const [expected, ...texts] of [
  ['unknown'],
  ['unknown', '192.0.2.1:3478 sees 198.51.100.1:40000'],
  ['none', '192.0.2.1:3478 sees 192.168.1.10:51820'],
  [
    'endpoint-independent',
    '192.0.2.1:3478 sees 198.51.100.1:40000',
    '192.0.2.2:3478 sees 198.51.100.1:40000',
  ],
  [
    'endpoint-independent',
    '192.0.2.1:3478 sees 198.51.100.1:40000',
    '192.0.2.2:3478 sees 198.51.100.1:40000',
    '192.168.1.20:51820 sees 192.168.1.10:51820',
  ],
  ['unknown', '192.0.2.1:3478 sees 198.51.100.1:40000', '192.0.2.1:3479 sees 198.51.100.1:40000'],
  [
    'address-dependent',
    '192.0.2.1:3478 sees 198.51.100.1:40000',
    '192.0.2.2:3478 sees 198.51.100.1:40001',
  ],
  [
    'address-and-port-dependent',
    '192.0.2.1:3478 sees 198.51.100.1:40000',
    '192.0.2.1:3479 sees 198.51.100.1:40001',
  ],
  ['unknown', '[2001:db8::5]:3478 sees [2001:db8::10]:51820'],
] as const) {
  mapping(`calls it ${expected}: ${texts.join(', ') || 'nobody saw anything'}`, () => {
    assert.is(natMappingOf(seen(...texts), HOST), expected)
  })
}

mapping('forgets what an observer saw before', () => {
  const now = seen(
    '192.0.2.1:3478 sees 198.51.100.1:40000',
    '192.0.2.1:3478 sees 198.51.100.9:40000',
  )
  assert.equal(reflexiveEndpoints(now, HOST).map(formatEndpoint), ['198.51.100.9:40000'])
})

mapping('keeps what was seen before the network changed until something newer is known', () => {
  const before = seen('192.0.2.1:3478 sees 198.51.100.1:40000')
  assert.is(reflexiveEndpoints(before, HOST).length, 1)
  const one = { observer: parseEndpoint('192.0.2.2:3478'), mapped: parseEndpoint('198.51.100.9:1') }
  const after = withObservation(before, { ...one, seenMs: 5000 }, 4000)
  assert.equal(reflexiveEndpoints(after, HOST).map(formatEndpoint), ['198.51.100.9:1'])
})

mapping('lists first what most observers saw', () => {
  const now = seen(
    '192.0.2.1:3478 sees 198.51.100.1:40000',
    '192.0.2.2:3478 sees 198.51.100.1:40000',
    '192.0.2.3:3478 sees 198.51.100.1:40007',
  )
  assert.equal(reflexiveEndpoints(now, HOST).map(formatEndpoint), [
    '198.51.100.1:40000',
    '198.51.100.1:40007',
  ])
})

mapping.run()

const SERVER = parseEndpoint('192.0.2.1:3478')

function local(addresses: string[], servers = [SERVER]) {
  const clock = new VirtualClock()
  const asked: number[] = []
  const reports: (readonly Candidate[])[] = []
  let reads = 0
  const own = startLocalCandidates({
    listenPort: 51820,
    hostAddresses: () => {
      reads += 1
      return addresses.map(parseIpAddress)
    },
    stunServers: () => servers,
    overlayPrefixes: () => [parsePrefix('100.64.0.0/10'), parsePrefix('fd00:1::/48')],
    ask: () => asked.push(clock.monotonicMs()),
    onChange: (candidates) => reports.push(candidates),
    clock,
  })
  const texts = () => own.current().map((one) => `${one.kind} ${formatEndpoint(one)}`)
  return { clock, asked, reports, own, texts, addresses, reads: () => reads }
}

const rule = suite('local candidates')

rule(
  'are the host’s addresses on WireGuard’s port, without loopback, link-local and the tunnel',
  () => {
    const addresses = ['127.0.0.1', '192.168.1.10', '169.254.3.4', 'fe80::1', '2001:db8::10']
    const { own, texts } = local([...addresses, '100.64.0.7', 'fd00:1::7', '::1'])
    assert.equal(texts(), ['host [2001:db8::10]:51820', 'host 192.168.1.10:51820'])
    own.close()
  },
)

rule(
  'are read of the host once for all that is asked in a moment, and at once when it changed',
  async () => {
    const { clock, own, texts, addresses, reads } = local(['192.168.1.10'])
    await clock.advance(1000)
    const before = reads()
    for (const text of ['192.168.1.10:51820', '192.168.1.10:51821', '192.168.1.11:51820']) {
      assert.is(own.isOwn(parseEndpoint(text)), text === '192.168.1.10:51820')
    }
    assert.is(reads(), before + 1)
    addresses[0] = '192.168.1.11'
    own.networkChanged()
    assert.equal(texts(), ['host 192.168.1.11:51820'])
    own.close()
  },
)

rule('are reported within 50 ms of a change, and only then', async () => {
  const { clock, own, reports, texts } = local(['192.168.1.10'])
  await clock.advance(49)
  assert.is(reports.length, 1)
  own.observed(SERVER, parseEndpoint('198.51.100.1:40000'))
  await clock.advance(50)
  assert.is(reports.length, 2)
  assert.equal(texts(), ['host 192.168.1.10:51820', 'server-reflexive 198.51.100.1:40000'])
  own.observed(SERVER, parseEndpoint('198.51.100.1:40000'))
  await clock.advance(5000)
  assert.is(reports.length, 2)
  own.close()
})

rule('ask a mute server again after 100, 200, 400 … ms, then every 20 s', async () => {
  const { clock, asked, own } = local(['192.168.1.10'])
  await clock.advance(60_000)
  assert.equal(asked.slice(0, 6), [0, 100, 300, 700, 1500, 3100])
  assert.is((asked.at(-1) ?? 0) - (asked.at(-2) ?? 0), 20_000)
  own.close()
})

rule('ask an answering server every 20 s behind a NAT, and every 2 min without one', async () => {
  for (const [mapped, every] of [
    ['198.51.100.1:40000', 20_000],
    ['192.168.1.10:51820', 120_000],
  ] as const) {
    const { clock, asked, own } = local(['192.168.1.10'])
    await clock.advance(40)
    own.observed(SERVER, parseEndpoint(mapped))
    await clock.advance(every - 40)
    assert.equal(asked, [0, every])
    own.close()
  }
})

rule('ask at once when the network changed, and read the host’s addresses anew', async () => {
  const { clock, asked, own, addresses, reports } = local(['192.168.1.10'])
  own.observed(SERVER, parseEndpoint('198.51.100.1:40000'))
  await clock.advance(5000)
  addresses[0] = '192.168.1.110'
  own.networkChanged()
  await clock.advance(40)
  assert.equal(asked, [0, 5000])
  assert.is(reports.at(-1)?.[0]?.address, '192.168.1.110')
  own.close()
})

rule('know themselves and what lies inside the tunnel', () => {
  const { own } = local(['192.168.1.10'])
  assert.ok(own.isOwn(parseEndpoint('192.168.1.10:51820')))
  assert.not(own.isOwn(parseEndpoint('192.168.1.11:51820')))
  assert.not(own.isOutside(parseIpAddress('100.64.0.9')))
  assert.ok(own.isOutside(parseIpAddress('198.51.100.1')))
  own.close()
})

rule('are never more than 16', () => {
  const { own } = local(Array.from({ length: 40 }, (_, index) => `192.0.2.${index + 1}`))
  own.observed(SERVER, parseEndpoint('198.51.100.1:40000'))
  assert.is(own.current().length, 16)
  assert.ok(own.current().some(({ kind }) => kind === 'server-reflexive'))
  own.close()
})

rule.run()
