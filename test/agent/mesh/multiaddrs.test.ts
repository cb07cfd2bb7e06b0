import { multiaddr } from '@multiformats/multiaddr'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { deviceOf, libp2pKeyOf, peerIdOf } from '../../../agent/mesh/device-peer.ts'
import {
  announced,
  dialable,
  ipOf,
  isCircuit,
  parseMultiaddr,
  peerIdTextOf,
  relayOf,
  tcpPortOf,
  toPeer,
} from '../../../agent/mesh/multiaddrs.ts'
import { parseIpAddress } from '../../../protocol/address.ts'
import { testOrganization } from '../../support/organization.ts'

const acme = testOrganization('acme')
const [a, b] = ['a', 'b'].map((name) => peerIdOf(acme.device(name).id).toString())
const rule = suite('multiaddrs and peer ids')

rule('the peer id and the device id name the same key, both ways', () => {
  const device = acme.device('a')
  const peer = peerIdOf(device.id)
  assert.is(deviceOf(peer), device.id)
  assert.equal(libp2pKeyOf(device.key).publicKey.raw, Uint8Array.from(device.key.publicKey))
})

rule('text from others that is no multiaddr is no address', () => {
  for (const text of ['x', '/ip4/1.2.3/tcp/1', '/ip4/1.2.3.4/tcp/99999', '/nonsense']) {
    assert.is(parseMultiaddr(text), undefined)
  }
})

rule('is taken apart', () => {
  const direct = multiaddr(`/ip6/2001:db8:0:0::1/tcp/51822/p2p/${a}`)
  assert.equal([ipOf(direct), tcpPortOf(direct), peerIdTextOf(direct)], ['2001:db8::1', 51822, a])
  const circuit = multiaddr(`/ip4/192.0.2.1/tcp/4001/p2p/${a}/p2p-circuit`)
  assert.equal([isCircuit(circuit), isCircuit(direct), relayOf(circuit)], [true, false, a])
  assert.is(ipOf(multiaddr('/dns4/registry.example/tcp/4001')), undefined)
})

rule('names the peer at its end, once', () => {
  const bare = multiaddr('/ip4/192.0.2.1/tcp/1')
  const named = `/ip4/192.0.2.1/tcp/1/p2p/${a}`
  assert.equal(String(toPeer(bare, String(a))), named)
  assert.equal(String(toPeer(multiaddr(named), String(a))), named)
  const circuit = multiaddr(`${named}/p2p-circuit`)
  assert.equal(String(toPeer(circuit, String(b))), `${named}/p2p-circuit/p2p/${b}`)
})

rule('announces what others can dial: no overlay, no link-local, no circuit, no loopback', () => {
  const listening = [
    `/ip4/127.0.0.1/tcp/1/p2p/${a}`,
    `/ip4/10.0.0.5/tcp/1/p2p/${a}`,
    `/ip4/100.64.0.7/tcp/1/p2p/${a}`,
    `/ip4/169.254.1.1/tcp/1/p2p/${a}`,
    `/ip6/::1/tcp/1/p2p/${a}`,
    `/ip6/fe80::1/tcp/1/p2p/${a}`,
    `/ip6/fd12:0:0::7/tcp/1/p2p/${a}`,
    `/ip6/2001:db8::5/tcp/1/p2p/${a}`,
    `/ip4/192.0.2.9/tcp/4001/p2p/${b}/p2p-circuit/p2p/${a}`,
  ].map((text) => multiaddr(text))
  const overlay = new Set(['100.64.0.7', 'fd12::7'].map(parseIpAddress))
  assert.equal(announced(listening, overlay), ['/ip4/10.0.0.5/tcp/1', '/ip6/2001:db8::5/tcp/1'])
})

rule('announces one address of each port before the second of any', () => {
  const listening = [
    '10.0.0.5/tcp/51822',
    '10.0.0.6/tcp/51822',
    '10.0.0.5/tcp/443',
    '10.0.0.6/tcp/443',
  ]
  assert.equal(
    announced(
      listening.map((text) => multiaddr(`/ip4/${text}`)),
      new Set(),
    ),
    [0, 2, 1, 3].map((index) => `/ip4/${listening[index]}`),
  )
})

rule('announces loopback when there is nothing else', () => {
  const listening = [multiaddr(`/ip4/127.0.0.1/tcp/1/p2p/${a}`)]
  assert.equal(announced(listening, new Set()), ['/ip4/127.0.0.1/tcp/1'])
})

rule('of what a member says only circuits and addresses of one host are dialled', () => {
  const good = [
    '/ip4/198.51.100.7/tcp/51822',
    '/ip6/2001:db8::7/tcp/51822',
    '/ip4/192.168.1.7/tcp/51822',
    `/ip4/203.0.113.1/tcp/4001/p2p/${a}/p2p-circuit`,
  ]
  const bad = [
    '/dns4/metadata.internal/tcp/80',
    '/dnsaddr/example.org',
    '/ip4/169.254.169.254/tcp/80',
    '/ip6/fe80::1/tcp/22',
    '/ip6zone/eth0/ip6/fe80::1/tcp/22',
    '/ip4/224.0.0.1/tcp/1',
    '/ip4/0.0.0.0/tcp/22',
    `/p2p/${a}`,
    'nonsense',
  ]
  const loopback = ['/ip4/127.0.0.1/tcp/22', '/ip6/::1/tcp/22']
  const said = [...bad, ...loopback, ...good]
  const own = [...loopback, '/ip4/192.168.1.9/tcp/51822'].map((each) => multiaddr(each))
  assert.equal(dialable(said, own), good)
  assert.equal(dialable(said, own.slice(0, 2)), [...loopback, ...good])
  assert.equal(dialable(said, []), [...loopback, ...good])
})

rule.run()
