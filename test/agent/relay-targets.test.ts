import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { peerIdOf } from '../../agent/mesh/device-peer.ts'
import { attachTargets } from '../../agent/relay-targets.ts'
import { formatEndpoint, parsePrefix } from '../../protocol/address.ts'
import { relayAddressOf } from '../../protocol/relay.ts'
import { ANY_REGISTRY } from '../../protocol/relay-attach.ts'
import type { OrganizationState } from '../../protocol/state.ts'
import { NOON, testOrganization } from '../support/organization.ts'

const acme = testOrganization('acme', NOON)
const [laptop, hub, key] = ['laptop', 'hub', 'registry'].map((name) => acme.device(name)) as [
  ReturnType<typeof acme.device>,
  ReturnType<typeof acme.device>,
  ReturnType<typeof acme.device>,
]
const meeting = {
  multiaddrs: [`/ip4/198.18.4.2/tcp/4001/p2p/${peerIdOf(key.id)}`],
  stun: ['198.18.4.2:3478', '[2001:db8::4]:3478', 'a later kind of address'],
}

/** Where the hub, with or without its role, says that it listens there. */
function saying(
  multiaddrs: readonly string[],
  roles: readonly 'relay'[] = ['relay'],
): OrganizationState {
  return acme.state(
    ...[acme.issuerCertificate(), acme.manifest(), acme.certificate(laptop)],
    ...[acme.certificate(hub, { roles }), acme.endpoint(hub, { multiaddrs })],
  )
}
const targets = (
  state: OrganizationState,
  meetings: Parameters<typeof attachTargets>[0] = [],
  overlay: readonly string[] = [],
  turn = 0,
): readonly string[] =>
  attachTargets(meetings, state, {
    ...{ self: laptop.id, now: NOON, overlay: overlay.map(parsePrefix), turn },
  }).map(({ endpoint, to, relays }) => `${formatEndpoint(endpoint)} ${to} ${[...relays.keys()]}`)
const rule = suite('relays that may be attached to')

rule('a registry, where it answers STUN, by the key of its peer id', () => {
  assert.equal(targets(acme.stateWith('laptop'), [meeting]), [
    `198.18.4.2:3478 ${ANY_REGISTRY} ${key.id}`,
    `[2001:db8::4]:3478 ${ANY_REGISTRY} ${key.id}`,
  ])
})

rule('no registry whose key nobody names', () => {
  for (const multiaddr of ['/dns4/registry.example/tcp/4001', '/ip4/1.2.3.4/tcp/1/p2p/12D3KooWabc'])
    assert.equal(targets(acme.stateWith('laptop'), [{ ...meeting, multiaddrs: [multiaddr] }]), [])
})

rule('members with the role, at the number of their TCP port', () => {
  const at = ['/dns4/hub.example/tcp/1', '/ip4/198.18.1.2/tcp/51822', '/ip6/2001:db8::1/tcp/51822']
  const own = relayAddressOf(hub.id)
  assert.equal(targets(saying(at)), [`198.18.1.2:51822 ${own} ${hub.id}`])
  assert.equal(targets(saying(at.slice(2))), [`[2001:db8::1]:51822 ${own} ${hub.id}`])
})

rule('nobody without the role, no loopback, no circuit, nothing inside the tunnel', () => {
  const circuit = `${meeting.multiaddrs[0]}/p2p-circuit`
  for (const text of ['/ip4/127.0.0.1/tcp/51822', '/ip4/224.0.0.1/tcp/1', circuit, 'no address'])
    assert.equal(targets(saying([text])), [])
  assert.equal(targets(saying(['/ip4/198.18.1.2/tcp/51822'], [])), [])
  assert.equal(targets(saying(['/ip4/100.64.0.9/tcp/51822']), [], ['100.64.0.0/10']), [])
})

rule('four at most, registries first, members too, and each in its turn', () => {
  const stun = [1, 2, 3, 4, 5].map((n) => `198.18.4.${n}:3478`)
  const state = saying(['/ip4/198.18.1.2/tcp/51822'])
  const ends = (turn: number) =>
    targets(state, [{ ...meeting, stun }], [], turn).map((text) => text.split(':')[0])
  assert.equal(ends(0), ['198.18.4.1', '198.18.4.2', '198.18.4.3', '198.18.1.2'])
  assert.equal(ends(1), ['198.18.4.3', '198.18.4.4', '198.18.4.5', '198.18.1.2'])
})

rule.run()
