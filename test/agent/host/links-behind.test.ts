/** Links behind prefixes, of a host of the kernel's. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { readLink, readLinksBehind } from '../../../agent/host/links-behind.ts'
import type { Link } from '../../../agent/routes/carrier.ts'
import { parsePrefix } from '../../../protocol/address.ts'
import { until } from '../../../simulations/lab/scene.ts'
import { needs } from '../../support/needs.ts'
import { joinedNamespaces, type Namespace } from '../tunnel/namespaces.ts'

needs('root', 'netns')

const rule = suite('the links behind prefixes')
let [near, far]: readonly Namespace[] = []

function host(): { readonly near: Namespace; readonly far: Namespace } {
  if (near === undefined || far === undefined) throw new Error('no namespaces')
  return { near, far }
}

/** Names and carriers, in the order of the prefixes; undefined: left alone. */
async function behind(...texts: readonly string[]): Promise<readonly (boolean | string)[]> {
  const prefixes = texts.map(parsePrefix)
  const links = await readLinksBehind(host().near.commands, prefixes, 'tunnel0')
  return prefixes.map((prefix) => said(links.get(prefix)))
}

function said(link: Link | undefined): string {
  return link === undefined ? '-' : `${link.name} ${link.hasCarrier ? 'on' : 'off'}`
}

rule.before(async () => {
  ;[near, far] = await joinedNamespaces()
  const { ipv4, ipv6 } = far
  await near.sh(`
    ip link add spare0 type veth peer name tunnel0; ip link set spare0 up; ip link set tunnel0 up
    ip address add 10.9.0.1/24 dev spare0; ip route add 10.8.0.0/16 dev tunnel0
    ip route add 10.60.0.0/16 via ${ipv4}; ip -6 route add fd60::/32 via ${ipv6}
    ip route add 10.60.7.0/24 dev spare0; ip route add 10.61.0.1/32 via ${ipv4}
    ip route add 10.70.0.0/16 nexthop via ${ipv4} nexthop dev spare0
    ip route add 10.80.0.0/16 via ${ipv4} metric 10; ip route add 10.80.0.0/16 dev spare0 metric 20
    ip route add blackhole 10.90.0.0/16; ip route add default via ${ipv4}`)
})
rule.after(async () => {
  for (const each of [near, far]) await each?.[Symbol.asyncDispose]()
})

const ASKED = [
  ...['10.60.0.0/16', '10.60.1.0/24', 'fd60:0:1::/48', '10.60.7.0/24', '10.61.0.1/32'],
  ...['10.70.0.0/24', '10.80.0.0/24', '10.90.0.0/24', '10.8.1.0/24', '10.99.0.0/24'],
]

rule(
  'are those of the most specific routes, but for the default route and the tunnel',
  async () => {
    const cable = host().near.link
    const on = `${cable} on`
    assert.equal(await behind(...ASKED), [
      ...[on, on, on, 'spare0 on', on],
      ...[on, on, '-', '-', '-'],
    ])
  },
)

rule('have no carrier when the cable is pulled; one of several next hops is enough', async () => {
  const { near: own, far: other } = host()
  await other.sh(`ip link set ${other.link} down`)
  const off = `${own.link} off`
  await until('the carrier is gone', 10_000, async () => (await behind('10.60.0.0/16'))[0] === off)
  assert.equal(await behind(...ASKED), [
    ...[off, off, off, 'spare0 on', off],
    ...['spare0 on', off, '-', '-', '-'],
  ])
  assert.is(said(await readLink(own.commands, own.link)), off)
  await own.sh(`sysctl -qw net.ipv4.conf.${own.link}.ignore_routes_with_linkdown=1`)
  assert.equal(await behind('10.80.0.0/24'), ['spare0 on'])
})

rule(
  'are not known by routes when the interface is down or gone, and have no carrier',
  async () => {
    const { near: own } = host()
    await own.sh(`ip link set ${own.link} down`)
    assert.equal(await behind('10.60.0.0/16'), ['-'])
    assert.is(said(await readLink(own.commands, own.link)), `${own.link} off`)
    assert.is(said(await readLink(own.commands, 'usb7')), 'usb7 off')
    assert.is(said(await readLink(own.commands, 'spare0')), 'spare0 on')
  },
)

rule.run()
