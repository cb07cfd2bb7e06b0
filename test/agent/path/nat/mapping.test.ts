import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type MappingBelief, NO_BELIEF, nextMapping } from '../../../../agent/path/nat/mapping.ts'
import type { Observation } from '../../../../agent/path/observations.ts'
import { parseEndpoint } from '../../../../protocol/address.ts'
import type { DeviceId } from '../../../../protocol/keys.ts'

const HOST = [parseEndpoint('192.168.1.10:51820'), parseEndpoint('203.0.113.10:51820')]

/** `observer sees mapped`; `ada@observer` where the observer is a member. */
function observations(...texts: readonly string[]): readonly Observation[] {
  return texts.map((text) => {
    const [who = '', mapped = ''] = text.split(' sees ')
    const [observer = '', device] = who.split('@').toReversed()
    return {
      observer: parseEndpoint(observer),
      device: device as DeviceId | undefined,
      mapped: parseEndpoint(mapped),
      seenMs: 0,
    }
  })
}

const decide = (texts: readonly string[], before: MappingBelief = NO_BELIEF): MappingBelief =>
  nextMapping(before, observations(...texts), HOST)

const rule = suite('mapping (RFC 4787 §4.1)')
const M = '198.51.100.1:40000'
const at = (n: number, mapped: string): string => `192.0.2.${n}:3478 sees ${mapped}`

for (const [expected, what, ...texts] of [
  ['unknown', 'nobody saw anything'],
  ['unknown', 'one voice', at(1, M)],
  [
    'unknown',
    'one voice at two ports that agrees with itself',
    at(1, M),
    `192.0.2.1:3479 sees ${M}`,
  ],
  ['unknown', 'one voice at two ports', at(1, M), '192.0.2.1:3479 sees 198.51.100.1:40001'],
  [
    'unknown',
    'one member at two addresses',
    `ada@192.0.2.1:1 sees ${M}`,
    `ada@192.0.2.2:1 sees ${M}`,
  ],
  [
    'unknown',
    'two voices at one address',
    `ada@192.0.2.1:1 sees ${M}`,
    `bob@192.0.2.1:2 sees ${M}`,
  ],
  ['none', 'the host’s own endpoint', at(1, '203.0.113.10:51820')],
  ['none', 'its own in a private network', '192.168.1.20:3478 sees 192.168.1.10:51820'],
  ['unknown', 'a private address that nobody out there can see', at(1, '192.168.1.10:51820')],
  ['endpoint-independent', 'two that agree', at(1, M), at(2, M)],
  [
    'endpoint-independent',
    'a neighbour sees what is before the NAT',
    at(1, M),
    at(2, M),
    'ada@192.168.1.20:51820 sees 192.168.1.10:51820',
  ],
  [
    'endpoint-independent',
    'a private network with a NAT inside',
    'ada@10.0.0.1:1 sees 10.9.9.9:7',
    'bob@10.0.0.2:1 sees 10.9.9.9:7',
    'eve@192.168.1.20:51820 sees 192.168.1.10:51820',
  ],
  [
    'endpoint-independent',
    'a carrier’s customer sees what is before the carrier’s NAT',
    at(1, M),
    at(2, M),
    'ada@100.64.3.3:51820 sees 100.64.3.9:51820',
  ],
  [
    'unknown',
    'the other one is behind the same NAT, by way of its public address',
    at(1, M),
    'ada@198.51.100.1:50000 sees 198.51.100.1:61000',
  ],
  ['endpoint-independent', 'one of three differs', at(1, M), at(2, M), at(3, '198.51.100.1:7')],
  ['address-dependent', 'two at two addresses differ', at(1, M), at(2, '198.51.100.1:40001')],
  ['address-dependent', 'by its address too', at(1, M), at(2, '198.51.100.2:40000')],
  [
    'address-dependent',
    'two at one address agree, others differ',
    `ada@192.0.2.1:1 sees ${M}`,
    `bob@192.0.2.1:2 sees ${M}`,
    at(2, '198.51.100.1:40001'),
    at(3, '198.51.100.1:40002'),
  ],
  [
    'address-and-port-dependent',
    'two at one address differ as well',
    `ada@192.0.2.1:1 sees ${M}`,
    `bob@192.0.2.1:2 sees 198.51.100.1:40009`,
    at(2, '198.51.100.1:40001'),
  ],
  [
    'none',
    'one of three contradicts',
    at(1, '203.0.113.10:51820'),
    at(2, '203.0.113.10:51820'),
    at(3, M),
  ],
] as const) {
  rule(`is ${expected}: ${what}`, () => assert.is(decide(texts).mapping, expected))
}

rule('is proved by three that agree, or three that all differ, and not by two', () => {
  const other = (n: number): string => at(n, `198.51.100.1:${50_000 + n}`)
  assert.equal(
    [
      [at(1, M), at(2, M)],
      [at(1, M), at(2, M), at(3, M)],
      [other(1), other(2)],
    ].map((texts) => decide(texts).isProved),
    [false, true, false],
  )
  assert.is(decide([other(1), other(2), other(3)]).isProved, true)
})

rule('stays when one voice changes what it says', () => {
  const two = decide([at(1, M), at(2, M)])
  assert.is(decide([at(1, M), at(2, '198.51.100.1:9')], two).mapping, 'endpoint-independent')
  const hard = decide([at(1, M), at(2, '198.51.100.1:9')])
  assert.is(decide([at(1, M), at(2, M)], hard).mapping, 'address-dependent')
  const none = decide([at(1, '203.0.113.10:51820')])
  assert.is(decide([at(1, '203.0.113.10:51820'), at(2, M)], none).mapping, 'none')
})

rule('stays with one voice that says the same, and is unknown when it says else', () => {
  const two = decide([at(1, M), at(2, M)])
  assert.is(decide([at(1, M)], two).mapping, 'endpoint-independent')
  assert.is(decide([at(1, '198.51.100.1:9')], two).mapping, 'unknown')
  assert.is(decide([], two).mapping, 'unknown')
})

rule('heals when all say something new, and when enough say else', () => {
  const two = decide([at(1, M), at(2, M)])
  const changed = [at(1, '198.51.100.1:1'), at(2, '198.51.100.1:2')]
  assert.is(decide(changed, two).mapping, 'address-dependent')
  const wrong = decide([at(1, M), at(2, '198.51.100.1:9')])
  const four = [at(1, M), at(2, '198.51.100.1:9'), at(3, M), at(4, M)]
  assert.equal(
    [3, 4].map((count) => decide(four.slice(0, count), wrong).mapping),
    ['address-dependent', 'endpoint-independent'],
  )
})

rule('is refined by one pair at one address, and turned by no single one', () => {
  const hard = decide([at(1, M), at(2, '198.51.100.1:9')])
  const pair = [`ada@192.0.2.3:1 sees 198.51.100.1:31`, `bob@192.0.2.3:2 sees 198.51.100.1:32`]
  const ports = decide([at(1, M), at(2, '198.51.100.1:9'), ...pair], hard)
  assert.is(ports.mapping, 'address-and-port-dependent')
  const alike = [pair[0] ?? '', `bob@192.0.2.3:2 sees 198.51.100.1:31`]
  const after = decide([at(1, M), at(2, '198.51.100.1:9'), ...alike], ports)
  assert.is(after.mapping, 'address-and-port-dependent')
})

/** Truth: a NAT of one kind, seen by honest voices each at an address of its own; and one liar, who knows all
 *  that the others see and says anything at any number of endpoints. */
interface World {
  readonly isDependent: boolean
  readonly honest: number
  readonly lies: readonly { readonly port: number; readonly copies: number | undefined }[]
  readonly position: number
}

const WORLD: fc.Arbitrary<World> = fc.record({
  isDependent: fc.boolean(),
  honest: fc.integer({ min: 2, max: 6 }),
  lies: fc.array(
    fc.record({
      port: fc.integer({ min: 1, max: 65535 }),
      copies: fc.option(fc.integer({ min: 1, max: 6 }), { nil: undefined }),
    }),
    { maxLength: 4 },
  ),
  position: fc.nat(6),
})

function wordsOf({ isDependent, honest, lies, position }: World): {
  readonly truth: readonly string[]
  readonly all: readonly string[]
} {
  const mapped = (n: number): string => (isDependent ? `198.51.100.1:${40_000 + n}` : M)
  const truth = Array.from({ length: honest }, (_, n) => at(n + 1, mapped(n + 1)))
  const told = lies.map(
    ({ port, copies }, n) =>
      `eve@203.0.113.${100 + n}:51820 sees ${copies === undefined ? `198.51.100.1:${port}` : mapped(copies)}`,
  )
  return { truth, all: [...truth.slice(0, position), ...told, ...truth.slice(position)] }
}

rule('no single liar flips it, whatever it says and how often, once it is known', () => {
  fc.assert(
    fc.property(WORLD, fc.array(WORLD, { maxLength: 5 }), (world, others) => {
      const { truth } = wordsOf(world)
      const right = world.isDependent ? 'address-dependent' : 'endpoint-independent'
      let belief = decide(truth)
      assert.is(belief.mapping, right)
      for (const { lies, position } of [world, ...others]) {
        belief = decide(wordsOf({ ...world, lies, position }).all, belief)
        const word = belief.mapping.replace('address-and-port', 'address')
        assert.is(word, right)
      }
    }),
    { numRuns: 2000 },
  )
})

rule('what is called proved is true with any single liar', () => {
  fc.assert(
    fc.property(WORLD, (world) => {
      const { mapping, isProved } = decide(wordsOf(world).all)
      const word = mapping.replace('address-and-port', 'address')
      const right = world.isDependent ? 'address-dependent' : 'endpoint-independent'
      if (isProved) assert.is(word, right)
    }),
    { numRuns: 2000 },
  )
})

rule('four honest voices outweigh a liar who came first', () => {
  fc.assert(
    fc.property(WORLD, WORLD, (world, first) => {
      const liar = wordsOf({ ...first, honest: 2, isDependent: world.isDependent }).all.slice(0, 3)
      const { mapping } = decide(wordsOf({ ...world, honest: 4 }).all, decide(liar))
      const right = world.isDependent ? 'address-dependent' : 'endpoint-independent'
      assert.is(mapping.replace('address-and-port', 'address'), right)
    }),
    { numRuns: 1000 },
  )
})

rule.run()
