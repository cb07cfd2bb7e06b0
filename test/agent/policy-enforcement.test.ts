/** No packet before the policy is enforced, and none while it cannot be. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Firewall, FirewallConfig } from '../../agent/firewall/firewall.ts'
import { answersText, checkText, policyStatusText } from '../../agent/nexctl-policy.ts'
import { type Plan, plan } from '../../agent/plan.ts'
import { PolicyEnforcement } from '../../agent/policy-enforcement.ts'
import { PolicyView } from '../../agent/policy-view.ts'
import { sourcesOf, type TunnelPeer } from '../../agent/tunnel/backend.ts'
import { parsePrefix } from '../../protocol/address.ts'
import { openEnvelope } from '../../protocol/envelope.ts'
import { policyOf } from '../../protocol/policy.ts'
import { parsePolicyDocument } from '../../protocol/policy-document.ts'
import { seconds } from '../../protocol/time.ts'
import { NOON, testOrganization } from '../support/organization.ts'

const rule = suite('policy enforcement')

const acme = testOrganization('acme')
const [laptop, db, phone] = [acme.device('laptop'), acme.device('db'), acme.device('phone')]
const tablet = acme.device('tablet')
const TEXT = `version: 1
default: {inbound: deny, outbound: accept}
security_groups:
  storage:
    inbound_rules: [{ip_protocol: tcp, from_port: 5432, to_port: 5432, groups: [web]}]
`
const PREFIX = parsePrefix('10.99.0.1')

/** As the database sees it. @param revision 0: version 0 @param holder of a prefix */
function planOf(revision: number, holder?: typeof laptop): Plan {
  const policy =
    revision === 0 ? {} : { policy: policyOf({ revision, ...parsePolicyDocument(TEXT).rules }) }
  const prefixes = [PREFIX]
  const state = acme.state(
    acme.issuerCertificate(),
    acme.manifest(policy),
    acme.certificate(laptop, { groups: ['web'], prefixes }),
    acme.certificate(phone, { prefixes }),
    acme.certificate(db, { groups: ['storage'] }),
    ...(holder === tablet ? [acme.certificate(tablet, { prefixes })] : []),
    acme.endpoint(laptop, {
      multiaddrs: ['/ip4/192.0.2.1/tcp/4001/p2p/x', '/ip4/192.0.2.9/tcp/443/p2p/y/p2p-circuit'],
      policy: { revision: 6, state: 'enforced', since: NOON },
    }),
    ...(holder === undefined ? [] : [acme.route(holder, PREFIX)]),
  )
  const self = {
    device: db.id,
    wireguardKey: db.wireguard,
    listenPort: 1,
    mtu: 1420,
    localPrefixes: [],
  }
  return plan(state, self, NOON)
}

/** Peers that packets pass to and from. */
const open = ({ tunnel }: Plan): readonly TunnelPeer[] =>
  [...tunnel.peers.values()].filter((peer) => sourcesOf(peer).length > 0)

class Scene {
  nowMs = 0
  fault: Error | undefined
  readonly enforced: FirewallConfig[] = []
  readonly logged: string[] = []
  lost = 0
  readonly firewall: Firewall = {
    onLost: () => undefined,
    enforce: async (config) => {
      if (this.fault !== undefined) throw this.fault
      this.enforced.push(config)
    },
    [Symbol.asyncDispose]: async () => undefined,
  }
  readonly enforcement = new PolicyEnforcement({
    firewall: this.firewall,
    multiaddrs: () => ['/ip4/0.0.0.0/tcp/4001'],
    onLost: () => {
      this.lost += 1
    },
    clock: {
      now: () => seconds(NOON + Math.floor(this.nowMs / 1000)),
      monotonicMs: () => this.nowMs,
    },
    random: (count) => new Uint8Array(count).fill(128),
    log: (level, event) => void this.logged.push(`${level} ${event}`),
  })

  get state(): string {
    const { state, revision } = this.enforcement.status()
    return `${state} ${revision}`
  }
}

rule('is there before the tunnel, with what every peer may send from', async () => {
  const scene = new Scene()
  const { plan: prepared, done } = await scene.enforcement.prepare(planOf(7, laptop))
  assert.equal([scene.enforced.length, scene.state], [1, 'enforced 7'])
  assert.is(prepared.tunnel.peers.size, 2)
  const [config] = scene.enforced
  assert.equal(config?.own.groups, ['storage'])
  const ofLaptop = config?.peers.find(({ name }) => name === 'laptop')?.prefixes ?? []
  assert.equal(ofLaptop.toSorted(), [PREFIX, ...laptop.addresses].toSorted())
  assert.equal(config?.meshPorts, { own: [4001], others: [4001] })
  await done()
  await scene.enforcement.prepare(planOf(7, laptop))
  assert.is(scene.enforced.length, 2, 'another manifest object is looked at again')
})

rule('changes nothing where nothing has changed', async () => {
  const scene = new Scene()
  const same = planOf(7)
  await scene.enforcement.prepare(same)
  await scene.enforcement.prepare({ ...same })
  assert.is(scene.enforced.length, 1)
})

rule(
  'translates an alias while WireGuard takes it from its device alone, and never else',
  async () => {
    const pair = { prefix: PREFIX, alias: parsePrefix('241.2.3.4/32') }
    for (const revision of [0, 7]) {
      const scene = new Scene()
      const plain = planOf(revision, laptop)
      const during = { ...plain, aliases: { arriving: [pair], leaving: [] } }
      const told = (): readonly number[] =>
        scene.enforced.map(({ aliases }) => aliases?.arriving.length ?? -1)
      const { done } = await scene.enforcement.prepare(during)
      assert.not.ok(told().includes(1), 'the tunnel is not configured yet')
      await done()
      assert.is(told().at(-1), 1)
      await scene.enforcement.prepare(plain)
      assert.is(told().at(-1), 0, 'the tunnel is configured still')
    }
  },
)

rule(
  'closes the tunnel where it cannot be enforced, loudly and once, and opens it when it can',
  async () => {
    const scene = new Scene()
    scene.fault = new Error('nft is not installed')
    for (let count = 0; count < 3; count += 1) {
      const { plan: prepared } = await scene.enforcement.prepare(planOf(7))
      const { tunnel, peers } = prepared
      assert.equal([open(prepared).length, tunnel.peers.size, peers.size], [0, 2, 2])
    }
    assert.equal(scene.logged, ['error policy.closed'])
    assert.match(scene.enforcement.status().reason ?? '', /nft is not installed/)
    assert.equal(scene.enforcement.told()?.state, 'closed', 'and says so at once')
    scene.fault = undefined
    const { plan: prepared } = await scene.enforcement.prepare(planOf(7))
    assert.is(open(prepared).length, 2)
    assert.equal([scene.state, scene.logged.at(-1)], ['enforced 7', 'info policy.enforced'])
  },
)

rule('closes it when a new version cannot be applied, though an older one still is', async () => {
  const scene = new Scene()
  await scene.enforcement.prepare(planOf(7))
  scene.fault = new Error('no memory')
  assert.equal(open((await scene.enforcement.prepare(planOf(8))).plan), [])
  assert.is(scene.state, 'closed 8')
})

rule('closes it when what was enforced is lost, and asks to be prepared again', async () => {
  const scene = new Scene()
  const same = planOf(7)
  await scene.enforcement.prepare(same)
  scene.firewall.onLost('nft failed')
  assert.equal([scene.lost, scene.state], [1, 'closed 7'])
  await scene.enforcement.prepare(same)
  assert.equal([scene.enforced.length, scene.state], [2, 'enforced 7'])
})

rule('lets nothing pass under a policy of a later version', async () => {
  const scene = new Scene()
  const later = { ...planOf(0), policy: undefined, policyUnderstood: false }
  const { plan: prepared } = await scene.enforcement.prepare(later)
  assert.is(scene.state, 'not-understood 0')
  assert.is(scene.enforcement.told()?.state, 'not-understood', 'and says so at once')
  const { tunnel, peers } = prepared
  assert.equal([open(prepared).length, tunnel.peers.size, peers.size], [0, 2, 2])
})

rule('a prefix that goes to another device is nobody’s until the tunnel has changed', async () => {
  const scene = new Scene()
  await (await scene.enforcement.prepare(planOf(7, laptop))).done()
  const { done } = await scene.enforcement.prepare(planOf(7, phone))
  const holds = (name: string) =>
    scene.enforced
      .at(-1)
      ?.peers.find((peer) => peer.name === name)
      ?.prefixes.includes(PREFIX)
  assert.equal([holds('laptop'), holds('phone')], [false, false])
  await done()
  assert.equal([holds('laptop'), holds('phone')], [false, true])
})

rule('one that goes to a device of the same rights is that one’s at once', async () => {
  const scene = new Scene()
  await (await scene.enforcement.prepare(planOf(7, phone))).done()
  await (await scene.enforcement.prepare(planOf(7, tablet))).done()
  const holders = scene.enforced.map(({ peers }) =>
    peers.flatMap(({ name, prefixes }) => (prefixes.includes(PREFIX) ? [name] : [])),
  )
  assert.equal(holders, [['phone'], ['tablet']])
})

rule(
  'version 0 closes nothing: it only guards what is forwarded, and warns where it cannot',
  async () => {
    const scene = new Scene()
    scene.fault = new Error('nft is not installed')
    for (let count = 0; count < 2; count += 1) {
      const { plan: prepared, done } = await scene.enforcement.prepare(planOf(0))
      assert.is(prepared.tunnel.peers.size, 2)
      await done()
      await Promise.resolve()
    }
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(scene.logged, ['warn policy.not-guarded'])
    assert.is(scene.enforcement.told(), undefined)
  },
)

rule(
  'tells the others after a while that grows with their number, and only what is new',
  async () => {
    const scene = new Scene()
    await scene.enforcement.prepare(planOf(7))
    assert.is(scene.enforcement.told(), undefined)
    scene.nowMs = 101
    const said = { revision: 7, state: 'enforced', since: NOON }
    assert.equal(scene.enforcement.told(), said)
    await scene.enforcement.prepare(planOf(8))
    assert.equal(scene.enforcement.told(), said, 'not yet')
    scene.nowMs += 101
    assert.is(scene.enforcement.told()?.revision, 8)
  },
)

rule('an endpoint update carries it, and what a later version adds is ignored', () => {
  const status = { revision: 9, state: 'closed', since: NOON } as const
  const envelope = openEnvelope(acme.endpoint(laptop, { policy: status }))
  assert.equal(envelope.kind === 'endpoint-update' && envelope.body.policy, status)
  const none = openEnvelope(acme.endpoint(laptop))
  assert.is(none.kind === 'endpoint-update' && none.body.policy, undefined)
})

const view = async (of: Plan) => {
  const scene = new Scene()
  await scene.enforcement.prepare(of)
  return new PolicyView({ plan: of, enforcement: scene.enforcement })
}

rule('nexctl policy status shows who enforces what', async () => {
  const shown = policyStatusText((await view(planOf(7))).policyStatus())
  const lines = shown.split('\n').map((line) => line.trim().split(/ {2,}/))
  assert.equal(lines[0], ['revision 7: enforced by 1 of 3'])
  assert.equal(
    lines
      .slice(2)
      .map(([name, revision, state]) => [name, revision, state])
      .toSorted(),
    [
      ['db', '7', 'enforced'],
      ['laptop', '6', 'enforced'],
      ['phone', '-', 'unknown'],
    ],
  )
})

rule('nexctl policy test says by which rule', async () => {
  const of = await view(planOf(7))
  const text = answersText(of.ask('laptop -> db:5432 tcp'))
  assert.match(
    text,
    /IPv4 +accept +out accepted by default, in accepted by rule 1 \(security group "storage"\)/,
  )
  assert.match(
    answersText(of.ask('phone -> db:5432')),
    /deny +out .*, in denied, for no rule accepts it/,
  )
  assert.match(
    answersText(of.ask('db -> phone icmp')),
    /deny +out accepted by default, in denied by default/,
  )
})

rule('nexctl policy check runs the tests of a file', async () => {
  const of = await view(planOf(0))
  const report = of.check(`${TEXT}tests: ['laptop -> db:5432: accept', 'phone -> db:5432: accept']`)
  const text = checkText(report)
  assert.match(
    text,
    /^1 rules; 1 of 2 tests hold\ndoes not hold: phone -> db:5432 tcp: accept \(found: deny\)/,
  )
  assert.equal(parsePolicyDocument((await view(planOf(7))).policy().text).rules.rules.length, 1)
})

rule.run()
