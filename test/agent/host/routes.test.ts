import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Route, routeChanges, routeCommand, wantedRoutes } from '../../../agent/host/routes.ts'
import { type Prefix, parsePrefix } from '../../../protocol/address.ts'

const [V4, V6, NET, OWN] = ['100.64.0.2/32', 'fd64::2/128', '10.5.0.0/16', '100.64.0.1/32'].map(
  parsePrefix,
) as [Prefix, Prefix, Prefix, Prefix]
const rule = suite('routes of the tunnel')

function commandsOf(current: readonly Route[], wanted: readonly Route[]) {
  const { set, remove } = routeChanges(current, wanted)
  const line = (change: (typeof set)[number]): string => routeCommand('wg0', change)
  return { set: set.map(line), remove: remove.map(line) }
}

rule('carry the MTU of their peer where it is less than the interface’s', () => {
  const peers = [
    { allowedIps: [V4, NET], mtu: 1328 },
    { allowedIps: [V6], mtu: 1420 },
    { allowedIps: [parsePrefix('10.6.0.0/16')] },
  ]
  assert.equal(wantedRoutes({ peers, addresses: [OWN], mtu: 1420 }), [
    { prefix: V4, source: '100.64.0.1', mtu: 1328 },
    { prefix: NET, source: '100.64.0.1', mtu: 1328 },
    { prefix: V6 },
    { prefix: '10.6.0.0/16', source: '100.64.0.1' },
  ])
})

rule('of IPv6 never carry less than 1280, nor anything a default prefix', () => {
  const peers = [{ allowedIps: [V4, V6, parsePrefix('::/0')], mtu: 1232 }]
  assert.equal(wantedRoutes({ peers, addresses: [], mtu: 1420 }), [
    { prefix: V4, mtu: 1232 },
    { prefix: V6, mtu: 1280 },
  ])
  assert.equal(wantedRoutes({ peers, addresses: [], mtu: 1280 })[1], { prefix: V6 })
})

rule('are replaced when their MTU changes, and only then', () => {
  const before = [{ prefix: V4, mtu: 1328 }, { prefix: V6 }]
  const after = [{ prefix: V4 }, { prefix: V6, mtu: 1280 }]
  assert.equal(commandsOf(before, before), { set: [], remove: [] })
  assert.equal(commandsOf(before, after), {
    set: [
      'route replace 100.64.0.2/32 dev wg0 proto 78 metric 78',
      'route replace fd64::2/128 dev wg0 proto 78 metric 78 mtu 1280',
    ],
    remove: [],
  })
  assert.equal(commandsOf(before, []).remove, [
    'route delete 100.64.0.2/32 dev wg0 proto 78 metric 78',
    'route delete fd64::2/128 dev wg0 proto 78 metric 78',
  ])
})

rule.run()
