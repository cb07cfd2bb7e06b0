/** Default routes by /proc, and what the agent asks where it runs no command. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { startAddressWatch } from '../../../agent/host/address-watch.ts'
import { hasDefaultRoute } from '../../../agent/host/default-route.ts'
import { readRouteMtus } from '../../../agent/host/link-mtu.ts'
import { noCommands } from '../../../agent/host/no-commands.ts'
import { defaultRoutes, networkRoutes } from '../../../agent/host/proc-routes.ts'
import { parseIpAddress } from '../../../protocol/address.ts'
import { VirtualClock } from '../../../simulations/world/virtual-clock.ts'

const rule = suite('routes by /proc')

const IPV4 = `Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT
wlan0 00000000 0101A8C0 0003 0 0 600 00000000 0 0 0
eth0 00000000 010200C0 0003 0 0 100 00000000 0 0 0
eth1 00000000 010200C0 0201 0 0 0 00000000 0 0 0
eth0 000200C0 00000000 0001 0 0 100 00FFFFFF 0 0 0
ppp0 00000000 00000000 0001 0 0 50 00000000 0 0 0
`
const ZERO = '0'.repeat(32)
const IPV6 = `${ZERO} 00 ${ZERO} 00 fe800000000000000000000000000001 00000400 00000003 00000000 00000003 eth0
${ZERO} 00 ${ZERO} 00 ${ZERO} ffffffff 00000001 00000000 00200200 lo
fd000000000000000000000000000000 40 ${ZERO} 00 ${ZERO} 00000100 00000001 00000000 00000001 eth0
`

rule('reads those that are up, the lowest metric first', () => {
  assert.equal(
    defaultRoutes(4, () => IPV4),
    [
      { interfaceName: 'ppp0', metric: 50 },
      { interfaceName: 'eth0', metric: 100, gateway: '192.0.2.1' },
      { interfaceName: 'wlan0', metric: 600, gateway: '192.168.1.1' },
    ],
  )
  assert.equal(
    defaultRoutes(6, () => IPV6),
    [{ interfaceName: 'eth0', metric: 1024, gateway: 'fe80::1' }],
  )
})

rule('reads those to networks, neither to own addresses nor what only drops', () => {
  const ipv4 = `${IPV4}ens10 0000000A 0100000A 0003 0 0 0 0000FFFF 0 0 0
*\t0000FE0A 00000000 0001 0 0 0 0000FFFF 0 0 0
ens10 0100000A 00000000 0005 0 0 1024 FFFFFFFF 0 0 0
`
  const own = 'fd000000000000000000000000000002'
  const ipv6 = `${IPV6}${own} 80 ${ZERO} 00 ${ZERO} 00000000 00000004 00000000 80200001 eth0\n`
  assert.equal(
    networkRoutes((path) => (path.endsWith('ipv6_route') ? ipv6 : ipv4)),
    [
      { prefix: '192.0.2.0/24', interfaceName: 'eth0', metric: 100 },
      { prefix: '10.0.0.0/16', interfaceName: 'ens10', metric: 0 },
      { prefix: '10.0.0.1/32', interfaceName: 'ens10', metric: 1024 },
      { prefix: 'fd00::/64', interfaceName: 'eth0', metric: 256 },
    ],
  )
})

rule('reads nothing of empty, cut or foreign text', () => {
  for (const text of [
    '',
    '\n\n',
    'a b c',
    IPV4.slice(0, 90),
    'eth0 00000000 zz 0003 0 0 x 00000000',
  ]) {
    for (const family of [4, 6] as const) {
      assert.ok(Array.isArray(defaultRoutes(family, () => text)))
    }
    assert.ok(Array.isArray(networkRoutes(() => text)))
  }
})

rule('stands in for commands that are missing', async () => {
  assert.is(await hasDefaultRoute(noCommands, 4), defaultRoutes(4).length > 0)
  const far = parseIpAddress('198.51.100.1')
  const mtus = await readRouteMtus(noCommands, [far])
  assert.is(mtus.has(far), defaultRoutes(4).length > 0)
  const error = await noCommands.run('ip', []).catch((cause: unknown) => cause)
  assert.is((error as { code?: string }).code, 'ERR_COMMAND_MISSING')
})

rule('tells each change of the host within a second, and nothing else', async () => {
  const clock = new VirtualClock()
  let host = { address: '192.0.2.1' }
  let changes = 0
  const watch = startAddressWatch({ clock, look: () => host, onChange: () => (changes += 1) })
  await clock.advance(10_000)
  assert.is(changes, 0)
  host = { address: '192.0.2.2' }
  await clock.advance(1000)
  assert.is(changes, 1)
  await clock.advance(10_000)
  watch.cancel()
  host = { address: '192.0.2.3' }
  await clock.advance(10_000)
  assert.is(changes, 1)
})

rule.run()
