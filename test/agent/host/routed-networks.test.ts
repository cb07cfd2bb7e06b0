/** Where routes of the host lead that are not ours. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { foreignNetworks, routedNetworks } from '../../../agent/host/routed-networks.ts'
import { parsePrefix } from '../../../protocol/address.ts'

const rule = suite('routed networks')
const route = (to: string, interfaceName = 'eth0', metric = 0) => ({
  ...{ prefix: parsePrefix(to), interfaceName, metric },
})

rule('are those of all routes but the tunnel’s, each once', () => {
  const routes = [
    ...[route('10.0.0.0/16', 'ens10'), route('10.0.0.0/16', 'eth0', 100), route('10.0.0.1/32')],
    ...[route('10.99.0.0/24', 'nexodus0', 78), route('10.98.0.0/24', 'nexodus0-1', 78)],
    route('fd12::/48', 'tun0'),
  ]
  assert.equal(routedNetworks('nexodus0', routes), [
    ...['10.0.0.0/16', '10.0.0.1/32', '10.98.0.0/24', 'fd12::/48'],
  ])
})

rule('are foreign where no organization of this host leads', () => {
  const routes = [route('10.98.0.0/24', 'nexodus0-1', 78), route('10.0.0.0/16', 'ens10', 100)]
  assert.equal(foreignNetworks('nexodus0', routes), ['10.0.0.0/16'])
})

rule('are not a default route in pieces, which leads to the internet', () => {
  const pieces = ['0.0.0.0/1', '128.0.0.0/1', '64.0.0.0/2', '2000::/3'].map((each) => route(each))
  assert.equal(routedNetworks('nexodus0', [...pieces, route('10.0.0.0/8')]), ['10.0.0.0/8'])
})

rule('are the private ones alone where the host has the internet’s own routes', () => {
  const many = Array.from({ length: 1100 }, (_, index) =>
    route(`198.${index >> 8}.${index & 255}.0/24`),
  )
  assert.equal(routedNetworks('nexodus0', [...many, route('10.7.0.0/16')]), ['10.7.0.0/16'])
})

rule.run()
