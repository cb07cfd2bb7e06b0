/** What the plan is told of a host's routes, as its kernel has them. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { needs } from '../support/needs.ts'
import { joinedNamespaces } from './tunnel/namespaces.ts'

needs('root', 'netns')

const rule = suite('own side')
const PROCESS = new URL('own-side-process.ts', import.meta.url).pathname

rule('knows the networks that routes of others lead to, and none of ours', async () => {
  const [gateway, host] = await joinedNamespaces()
  await host.sh(`ip address flush dev ${host.link}
    ip link add nexodus0 type veth peer name nexodus0-1; ip link set nexodus0 up; ip link set nexodus0-1 up
    ip address add 192.0.2.10/32 dev ${host.link}
    ip route add 172.31.1.1 dev ${host.link}; ip route add default via 172.31.1.1 dev ${host.link} onlink
    ip route add 0.0.0.0/1 via 172.31.1.1 dev ${host.link} onlink
    ip route add 10.0.0.0/16 via 172.31.1.1 dev ${host.link} onlink metric 100
    ip route add 10.80.0.0/16 dev ${host.link} table 52; ip route add blackhole 10.77.0.0/16
    ip route add 10.99.0.0/24 dev nexodus0 proto 78 metric 78
    ip route add 10.98.0.0/24 dev nexodus0-1 proto 78 metric 78
    ip -6 route add fd12::/48 dev ${host.link}; ip -6 route add blackhole fd77::/48
    ip -6 route add fd99::/48 dev nexodus0 proto 78 metric 78`)
  const told = (await host.sh(`${process.execPath} ${PROCESS} nexodus0`)).trim().split(' ')
  const isOfLink = (prefix: string): boolean => /^(fe80|ff00)::/.test(prefix)
  assert.equal(
    told.filter((prefix) => !isOfLink(prefix)),
    ['10.0.0.0/16', '172.31.1.1/32', 'fd12::/48'],
  )
  await gateway[Symbol.asyncDispose]()
  await host[Symbol.asyncDispose]()
})

rule.run()
