import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { LinkNews } from '../../../agent/host/link-news.ts'

const rule = suite('link news')
const UP =
  '2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP group default \\    link/ether 36:2c:96:37:2b:7b brd ff:ff:ff:ff:ff:ff'
const SHOWN = UP.replace('group', 'mode DEFAULT group').replace('default', 'default qlen 1000')
const ADDRESS =
  '2: eth0    inet6 2001:db8::9/64 scope global dynamic \\       valid_lft 86000sec preferred_lft 14000sec'

rule(
  'takes addresses, links and routes of uplinks for news, not the tunnel’s or containers’',
  () => {
    const news = [
      '2: eth0    inet 192.0.2.9/24 scope global eth0\\       valid_lft forever',
      'Deleted 2: eth0    inet 192.0.2.9/24 scope global eth0',
      '2: eth0: <NO-CARRIER,BROADCAST,MULTICAST,UP> mtu 1500 qdisc noqueue state DOWN group default',
      '7: eth0.5@eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500',
      'default via 192.0.2.1 dev eth0 proto dhcp src 192.0.2.9 metric 100 ',
      'Deleted default via 192.0.2.1 dev eth0',
    ]
    const none = [
      '',
      '5: nexodus0    inet 100.64.0.1/32 scope global nexodus0',
      '5: nexodus0: <POINTOPOINT,NOARP,UP,LOWER_UP> mtu 1420',
      '100.64.0.2 dev nexodus0 proto 78 scope link metric 78 ',
      'Deleted 6: veth1a2b3c@if5: <BROADCAST,MULTICAST> mtu 1500',
      'local 127.0.0.1 dev lo table local proto kernel',
    ]
    for (const line of news) assert.is(new LinkNews('nexodus0').isNews(line), true, line)
    for (const line of none) assert.is(new LinkNews('nexodus0').isNews(line), false, line)
  },
)

rule('takes no repetition for news: a capture begins and ends, an address is renewed', () => {
  const links = new LinkNews('nexodus0')
  links.learn([SHOWN, ADDRESS])
  assert.not(links.isNews(UP.replace('MULTICAST,', 'MULTICAST,PROMISC,')))
  assert.not(links.isNews(UP))
  assert.not(links.isNews(ADDRESS.replace('86000', '85000')))
})

rule(
  'takes a change for news each time: state, MTU, hardware address, an address that goes or comes',
  () => {
    const links = new LinkNews('nexodus0')
    links.learn([SHOWN, ADDRESS])
    for (const line of [
      UP.replace('UP,LOWER_UP', 'NO-CARRIER,UP').replace('state UP', 'state DOWN'),
      UP,
      UP.replace('mtu 1500', 'mtu 1400'),
      UP.replace('36:2c', '36:2d'),
      `Deleted ${ADDRESS}`,
      ADDRESS,
      ADDRESS.replace('::9/64', '::a/64'),
    ])
      assert.ok(links.isNews(line), line)
  },
)

rule('believes what it heard more than what was asked before', () => {
  const links = new LinkNews('nexodus0')
  const narrow = UP.replace('mtu 1500', 'mtu 1400')
  assert.ok(links.isNews(narrow))
  links.learn([SHOWN])
  assert.not(links.isNews(narrow))
})

rule.run()
