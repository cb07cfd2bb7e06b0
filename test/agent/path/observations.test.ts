import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type Observation,
  reflexiveEndpoints,
  withObservation,
} from '../../../agent/path/observations.ts'
import { generateSigningKeyPair } from '../../../crypto/signing.ts'
import { formatEndpoint, parseEndpoint } from '../../../protocol/address.ts'
import { type DeviceId, deviceIdOf } from '../../../protocol/keys.ts'

const HOST = [parseEndpoint('192.168.1.10:51820')]
/** `observer sees mapped`, a second apart. */
function seen(...texts: string[]): readonly Observation[] {
  return texts.reduce<readonly Observation[]>((known, text, index) => {
    const [observer = '', mapped = ''] = text.split(' sees ').map((each) => each.trim())
    const one = { observer: parseEndpoint(observer), mapped: parseEndpoint(mapped) }
    return withObservation(known, { ...one, seenMs: index * 1000 }, -Infinity)
  }, [])
}

const rule = suite('observations')

rule('forgets what an observer saw before', () => {
  const now = seen(
    '192.0.2.1:3478 sees 198.51.100.1:40000',
    '192.0.2.1:3478 sees 198.51.100.9:40000',
  )
  assert.equal(reflexiveEndpoints(now, HOST).map(formatEndpoint), ['198.51.100.9:40000'])
})

rule('keeps what was seen before the network changed until something newer is known', () => {
  const before = seen('192.0.2.1:3478 sees 198.51.100.1:40000')
  assert.is(reflexiveEndpoints(before, HOST).length, 1)
  const one = { observer: parseEndpoint('192.0.2.2:3478'), mapped: parseEndpoint('198.51.100.9:1') }
  const after = withObservation(before, { ...one, seenMs: 5000 }, 4000)
  assert.equal(reflexiveEndpoints(after, HOST).map(formatEndpoint), ['198.51.100.9:1'])
})

rule('leaves out what is a minute older than the newest, unless nothing newer is known', () => {
  const before = seen(
    '192.0.2.1:3478 sees 198.51.100.1:40000',
    '[2001:db8::5]:1 sees [2001:db8::9]:7',
  )
  const later = { observer: parseEndpoint('192.0.2.2:1'), mapped: parseEndpoint('198.51.100.9:1') }
  const now = withObservation(before, { ...later, seenMs: 66_000 }, -Infinity)
  assert.equal(reflexiveEndpoints(now, HOST).map(formatEndpoint), [
    '198.51.100.9:1',
    '[2001:db8::9]:7',
  ])
})

rule('remembers 32, and of one voice 4 of a family, the newest', () => {
  const one = { mapped: parseEndpoint('198.51.100.1:40000'), seenMs: 0 }
  const flood = Array.from({ length: 100 }, (_, index) => parseEndpoint(`192.0.2.1:${index + 1}`))
  const told = flood.reduce<readonly Observation[]>(
    (known, observer) => withObservation(known, { ...one, observer }, -Infinity),
    seen('203.0.113.1:3478 sees 198.51.100.1:40000'),
  )
  assert.equal(
    told.map(({ observer }) => formatEndpoint(observer)),
    ['192.0.2.1:100', '192.0.2.1:99', '192.0.2.1:98', '192.0.2.1:97', '203.0.113.1:3478'],
  )
  const many = Array.from(
    { length: 40 },
    (_, index) => `192.0.2.${index + 1}:1 sees 198.51.100.1:1`,
  )
  assert.is(seen(...many).length, 32)
})

rule('lists first what most observers saw', () => {
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

const device = () => deviceIdOf(generateSigningKeyPair<'device'>().publicKey)
/** `observer` of the device sees the mapped endpoint. */
const by = (of: DeviceId | undefined, observer: string, mapped: string, seenMs: number) => ({
  ...{ observer: parseEndpoint(observer), mapped: parseEndpoint(mapped) },
  ...(of && { device: of }),
  seenMs,
})
const told = (all: readonly Observation[]) =>
  reflexiveEndpoints(
    all.reduce<readonly Observation[]>((known, one) => withObservation(known, one, -Infinity), []),
    HOST,
  ).map(formatEndpoint)

rule('one member that lies has one place, after what a server says, and never the first', () => {
  const mallory = device()
  const lies = [1, 2, 3, 4, 5, 6].map((n) =>
    by(mallory, `192.0.2.66:${n}`, `203.0.113.7:${n}`, n * 1000),
  )
  const same = [1, 2, 3, 4].map((n) => by(mallory, `192.0.2.66:${n}`, '203.0.113.7:9', n * 1000))
  const truth = by(undefined, '192.0.2.1:3478', '198.51.100.1:40000', 0)
  assert.equal(told([truth, ...lies]), ['198.51.100.1:40000', '203.0.113.7:6'])
  assert.equal(told([truth, ...same]), ['198.51.100.1:40000', '203.0.113.7:9'])
})

rule('what two voices see comes before what a server sees alone', () => {
  const seenBy = [device(), device()].map((one, n) =>
    by(one, `192.0.2.${n + 10}:1`, '198.51.100.1:40000', n),
  )
  const server = by(undefined, '192.0.2.1:3478', '198.51.100.1:40001', 5)
  assert.equal(told([...seenBy, server]), ['198.51.100.1:40000', '198.51.100.1:40001'])
})

rule.run()
