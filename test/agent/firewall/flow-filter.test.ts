import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FLOWS, FlowFilter } from '../../../agent/firewall/flow-filter.ts'
import { parsePolicyDocument } from '../../../protocol/policy-document.ts'
import type { PolicyRules } from '../../../protocol/policy-rules.ts'
import { ipPacket, type PacketFields } from '../../support/packets.ts'
import { OWN, PEERS, POLICY, packet, verdictOf } from '../../support/policies.ts'

const rule = suite('flow filter')

const policyOf = (groups: string, fallback = 'accept'): PolicyRules => ({
  revision: 1,
  ...parsePolicyDocument(`{version: 1, default: ${fallback}, security_groups: {web: ${groups}}}`)
    .rules,
})
const NOTHING = policyOf('{}', 'deny')

class Scene {
  nowMs = 0
  readonly filter = new FlowFilter({ monotonicMs: () => this.nowMs })

  async enforce(policy: PolicyRules, own: readonly number[] = [], others: readonly number[] = []) {
    await this.filter.enforce({ policy, own: OWN, peers: PEERS, meshPorts: { own, others } })
  }

  arrives(fields: Partial<PacketFields>): boolean {
    const of = { source: '100.64.0.1', destination: '100.64.0.9', protocol: 17, ...fields }
    return this.filter.passes(ipPacket(of), 'arriving')
  }

  leaves(fields: Partial<PacketFields>): boolean {
    const of = { source: '100.64.0.9', destination: '100.64.0.1', protocol: 17, ...fields }
    return this.filter.passes(ipPacket(of), 'leaving')
  }
}

async function sceneWith(policy: PolicyRules): Promise<Scene> {
  const scene = new Scene()
  await scene.enforce(policy)
  return scene
}

for (const way of ['in', 'out'] as const) {
  rule(`passes what the reference passes: ${way}`, async () => {
    await fc.assert(
      fc.asyncProperty(
        POLICY,
        fc.array(packet(way), { minLength: 40, maxLength: 40 }),
        async (policy, packets) => {
          const scene = await sceneWith(policy)
          packets.forEach((each, index) => {
            const bytes = ipPacket({ ...each, sourcePort: 1024 + index })
            const isPassing = scene.filter.passes(bytes, way === 'in' ? 'arriving' : 'leaving')
            assert.is(isPassing, verdictOf(policy, way, each) === 'accept')
          })
        },
      ),
    )
  })
}

const OUT_ONLY = policyOf('{inbound_rules: [{ip_ranges: [192.0.2.1]}]}')

rule('lets in the answers of what was let out, and nothing else', async () => {
  const scene = await sceneWith(OUT_ONLY)
  const answer = { sourcePort: 53, port: 4000 }
  assert.not(scene.arrives(answer))
  assert.ok(scene.leaves({ sourcePort: 4000, port: 53 }))
  assert.ok(scene.arrives(answer))
  assert.not(scene.arrives({ sourcePort: 53, port: 4001 }))
  assert.not(scene.arrives({ sourcePort: 54, port: 4000 }))
  assert.not(scene.arrives({ ...answer, source: '100.64.0.2' }))
  assert.not(scene.arrives({ ...answer, protocol: 6, flags: 'SA' }))
})

rule('a flow that was silent for long has ended', async () => {
  const scene = await sceneWith(OUT_ONLY)
  scene.leaves({ sourcePort: 4000, port: 53 })
  scene.nowMs = 299_000
  assert.ok(scene.arrives({ sourcePort: 53, port: 4000 }))
  scene.nowMs += 301_000
  assert.not(scene.arrives({ sourcePort: 53, port: 4000 }))
})

rule('nobody opens a connection under the guise of an answer', async () => {
  const scene = await sceneWith(OUT_ONLY)
  const [out, back] = [
    { protocol: 6, sourcePort: 4000, port: 80 },
    { protocol: 6, sourcePort: 80, port: 4000 },
  ]
  assert.ok(scene.leaves(out))
  assert.ok(scene.arrives({ ...back, flags: 'SA' }))
  assert.not(scene.arrives({ ...back, flags: 'S' }))
  assert.ok(scene.arrives({ ...back, flags: 'A' }))
})

rule('lets in the reply to an echo request, to that alone', async () => {
  const scene = await sceneWith(OUT_ONLY)
  const reply = { protocol: 1, type: 0, sourcePort: 7 }
  assert.not(scene.arrives(reply))
  assert.ok(scene.leaves({ protocol: 1, sourcePort: 7 }))
  assert.ok(scene.arrives(reply))
  assert.not(scene.arrives({ protocol: 1, sourcePort: 7 }))
  assert.not(scene.arrives({ ...reply, sourcePort: 8 }))
  assert.not(scene.arrives({ protocol: 1, type: 13, sourcePort: 7 }))
})

rule('lets in errors about flows that pass, and no others', async () => {
  const scene = await sceneWith(OUT_ONLY)
  const error = (port: number): Partial<PacketFields> => ({
    protocol: 1,
    type: 3,
    source: '10.1.0.1',
    payload: ipPacket({
      source: '100.64.0.9',
      destination: '100.64.0.1',
      protocol: 17,
      sourcePort: 4000,
      port,
    }),
  })
  assert.ok(scene.leaves({ sourcePort: 4000, port: 53 }))
  assert.ok(scene.arrives(error(53)))
  assert.not(scene.arrives(error(54)))
  assert.not(scene.arrives({ ...error(53), payload: new Uint8Array(8) }))
})

rule('a new version ends at once the flows that it denies, and keeps the others', async () => {
  const scene = await sceneWith(policyOf('{inbound_rules: [{from_port: 22, to_port: 23}]}'))
  const [kept, ended] = [
    { protocol: 6, sourcePort: 4000, port: 22 },
    { protocol: 6, sourcePort: 4000, port: 23 },
  ]
  assert.ok(scene.arrives(kept) && scene.arrives(ended))
  await scene.enforce(policyOf('{inbound_rules: [{from_port: 22, to_port: 22}]}', 'deny'))
  assert.ok(scene.arrives({ ...kept, flags: 'A' }))
  assert.ok(scene.leaves({ protocol: 6, sourcePort: 22, port: 4000, flags: 'A' }))
  assert.not(scene.arrives({ ...ended, flags: 'A' }))
  assert.not(scene.leaves({ protocol: 6, sourcePort: 23, port: 4000, flags: 'A' }))
})

for (const [protocol, flags] of [
  [6, 'A'],
  [17, ''],
] as const) {
  rule(
    `a flow that a new version denies is not begun anew by its answers: protocol ${protocol}`,
    async () => {
      const scene = await sceneWith(policyOf('{inbound_rules: [{from_port: 22, to_port: 23}]}'))
      const asked = { protocol, sourcePort: 4000, port: 23 }
      const answer = { protocol, sourcePort: 23, port: 4000, flags }
      assert.ok(scene.arrives(asked))
      assert.ok(scene.leaves(answer))
      // Out may go all; but this one is not of our beginning.
      await scene.enforce(policyOf('{inbound_rules: [{from_port: 22, to_port: 22}]}'))
      for (let minute = 0; minute < 10; minute += 1) {
        scene.nowMs += 60_000
        assert.not(scene.leaves(answer))
        assert.not(scene.arrives({ ...asked, flags }))
      }
      assert.not(scene.arrives(errorAbout(answer)))
      await scene.enforce(policyOf('{inbound_rules: [{from_port: 23, to_port: 23}]}'))
      assert.ok(scene.leaves(answer))
      assert.ok(scene.arrives({ ...asked, flags }))
    },
  )
}

rule('a connection of our own may take the ports of one that is denied', async () => {
  const scene = await sceneWith(policyOf('{inbound_rules: [{from_port: 23, to_port: 23}]}'))
  assert.ok(scene.arrives({ protocol: 6, sourcePort: 4000, port: 23 }))
  await scene.enforce(OUT_ONLY)
  assert.not(scene.arrives({ protocol: 6, sourcePort: 4000, port: 23, flags: 'A' }))
  assert.ok(scene.leaves({ protocol: 6, sourcePort: 23, port: 4000, flags: 'S' }))
  assert.ok(scene.arrives({ protocol: 6, sourcePort: 4000, port: 23, flags: 'SA' }))
})

/** An ICMP error of another's about a packet of ours. */
function errorAbout(fields: Partial<PacketFields>): Partial<PacketFields> {
  const of = { source: '100.64.0.9', destination: '100.64.0.1', protocol: 17, ...fields }
  return { protocol: 1, type: 3, source: '10.1.0.1', payload: ipPacket(of) }
}

rule('knows who began a flow when it began before there was a policy', async () => {
  const scene = new Scene()
  assert.ok(scene.leaves({ protocol: 6, sourcePort: 4000, port: 80 }))
  await scene.enforce(OUT_ONLY)
  assert.ok(scene.arrives({ protocol: 6, sourcePort: 80, port: 4000, flags: 'A' }))
})

rule('the mesh passes whatever the policy, at its own ports', async () => {
  const scene = new Scene()
  await scene.enforce(NOTHING, [4001], [5001])
  assert.ok(scene.arrives({ protocol: 6, port: 4001 }))
  assert.ok(scene.leaves({ protocol: 6, port: 5001 }))
  assert.not(scene.arrives({ protocol: 17, port: 4001 }))
  assert.not(scene.arrives({ protocol: 6, port: 5001 }))
  assert.not(scene.leaves({ protocol: 6, port: 4001 }))
})

rule('the mesh is at this device alone, and not at what it holds for others', async () => {
  const scene = new Scene()
  await scene.enforce(NOTHING, [4001], [5001])
  assert.not(scene.arrives({ protocol: 6, destination: '10.50.0.7', port: 4001 }))
  assert.not(scene.leaves({ protocol: 6, source: '10.50.0.7', port: 5001 }))
})

/** RFC 791: more fragments (0x2000), and the offset in units of 8 bytes. */
function fragment(fields: Partial<PacketFields>, word: number): Uint8Array {
  const of = { source: '100.64.0.1', destination: '100.64.0.9', protocol: 17, id: 9, ...fields }
  const bytes = ipPacket(of)
  new DataView(bytes.buffer, bytes.byteOffset).setUint16(6, word)
  return bytes
}

rule('fragments pass after the one that has the ports, and only then', async () => {
  const scene = await sceneWith(policyOf('{inbound_rules: [{from_port: 53, to_port: 53}]}'))
  const passes = (fields: Partial<PacketFields>, word: number) =>
    scene.filter.passes(fragment(fields, word), 'arriving')
  assert.not(passes({}, 2))
  assert.not(passes({ port: 54 }, 0x2000))
  assert.not(passes({}, 2))
  assert.ok(passes({ port: 53 }, 0x2000))
  assert.ok(passes({}, 2))
  assert.not(passes({ id: 10 }, 2))
})

rule('drops what is no packet, or is cut short', async () => {
  const scene = await sceneWith(policyOf('{}'))
  const whole = ipPacket({ source: 'fd00::1', destination: 'fd00::9', protocol: 6, port: 1 })
  for (let length = 0; length < whole.length; length += 1) {
    assert.not(scene.filter.passes(whole.subarray(0, length), 'arriving'), `${length}`)
  }
  const chain = Buffer.from(whole)
  chain[6] = 0
  chain.fill(0, 40)
  assert.not(scene.filter.passes(chain, 'arriving'))
  assert.is(scene.filter.denied, whole.length + 1)
})

rule('random bytes never make it throw', async () => {
  const scene = await sceneWith(NOTHING)
  const bytes = fc.uint8Array({ maxLength: 80 })
  fc.assert(
    fc.property(bytes, fc.constantFrom(0x45, 0x4f, 0x60), (tail, first) => {
      assert.not(scene.filter.passes(Uint8Array.of(first, ...tail), 'arriving'))
    }),
  )
})

rule('forgets the flow that was silent longest when there are too many', async () => {
  const scene = await sceneWith(OUT_ONLY)
  const out = (index: number) =>
    scene.leaves({
      destination: '100.64.0.1',
      sourcePort: 1 + (index >> 10),
      port: 1 + (index & 1023),
    })
  for (let index = 0; index <= FLOWS; index += 1) out(index)
  assert.not(scene.arrives({ sourcePort: 1, port: 1 }))
  assert.ok(scene.arrives({ sourcePort: 2, port: 1 }))
})

rule.run()
