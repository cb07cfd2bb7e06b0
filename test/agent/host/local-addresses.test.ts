/** Which of a host's addresses others may reach it by, and which subnets are its own. */
import type { NetworkInterfaceInfo } from 'node:os'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  hostAddresses,
  isContainerInterface,
  localPrefixes,
} from '../../../agent/host/local-addresses.ts'

function info(cidr: string, internal = false): NetworkInterfaceInfo {
  const [address = ''] = cidr.split('/')
  const common = { address, cidr, internal, netmask: '', mac: '00:00:00:00:00:00' }
  return address.includes(':')
    ? { ...common, family: 'IPv6', scopeid: 0 }
    : { ...common, family: 'IPv4' }
}

const INTERFACES = {
  lo: [info('127.0.0.1/8', true), info('::1/128', true)],
  eth0: [info('2001:DB8::10/64'), info('192.0.2.10/24'), info('fe80::1/64'), info('192.0.2.11/24')],
  wlan0: [info('10.0.0.5/8'), info('169.254.3.4/16'), info('fd12::1/48')],
  docker0: [info('172.17.0.1/16')],
  'br-0123456789ab': [info('172.18.0.1/16')],
  veth0a1b2c: [info('fd99::1/64')],
  nexodus0: [info('100.64.0.1/32'), info('fd00:64::1/128')],
  tailscale0: [info('100.100.1.1/32')],
}

const rule = suite('local addresses')

rule('leaves out loopback, link-local, containers’ bridges and the tunnel itself', () => {
  assert.equal(hostAddresses('nexodus0', INTERFACES), [
    '192.0.2.10',
    '192.0.2.11',
    '10.0.0.5',
    '100.100.1.1',
    '2001:db8::10',
    'fd12::1',
  ])
})

rule('gives each address once', () => {
  assert.equal(hostAddresses('t', { a: [info('192.0.2.1/24')], b: [info('192.0.2.1/24')] }), [
    '192.0.2.1',
  ])
})

rule('gives the subnets of every interface but the tunnel, containers’ too', () => {
  assert.equal(localPrefixes('nexodus0', INTERFACES), [
    '2001:db8::/64',
    '192.0.2.0/24',
    '10.0.0.0/8',
    'fd12::/48',
    '172.17.0.0/16',
    '172.18.0.0/16',
    'fd99::/64',
  ])
})

rule('tells containers’ interfaces by name', () => {
  for (const name of [
    'docker0',
    'br-0123456789ab',
    'veth1234567',
    'virbr0',
    'cni0',
    'cali1a2b3c',
  ]) {
    assert.is(isContainerInterface(name), true, name)
  }
  for (const name of ['eth0', 'enp3s0', 'wlan0', 'br0', 'bond0', 'wg0', 'ens18', 'vethless']) {
    assert.is(isContainerInterface(name), false, name)
  }
})

rule('reads the host it runs on', () => {
  assert.ok(!hostAddresses('none').includes('127.0.0.1' as never))
})

rule(
  'leaves out the addresses of other tunnels: a path through one would be encrypted twice',
  () => {
    const found = hostAddresses(
      't',
      { eth0: [info('192.0.2.1/24')], other: [info('10.8.0.2/24')] },
      (name) => name === 'other',
    )
    assert.equal(found, ['192.0.2.1'])
  },
)

rule.run()
