import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  formatProxyRule,
  type ProxyDirection,
  parseProxyRule,
  proxyRuleKey,
} from '../../../agent/proxy/proxy-rule.ts'

const rule = suite('proxy rules')

/** As typed, and as told. */
const GOOD: readonly (readonly [ProxyDirection, string, string?])[] = [
  ['ingress', 'tcp:8080:10.0.0.5:80'],
  ['ingress', 'UDP:53:127.0.0.1:5353', 'udp:53:127.0.0.1:5353'],
  ['egress', 'Tcp:1:[FD00:0::1]:65535', 'tcp:1:[fd00::1]:65535'],
  ['egress', 'tcp:80:[::ffff:10.0.0.1]:80', 'tcp:80:10.0.0.1:80'],
  ['ingress', 'tcp:80:My-Svc.ns.svc.cluster.local:80', 'tcp:80:my-svc.ns.svc.cluster.local:80'],
  ['ingress', 'tcp:80:web_1:80,proxy-protocol'],
  ['egress', 'tcp:80:far:80,bind=0.0.0.0'],
  ['egress', 'tcp:80:far:80,bind=::,proxy-protocol', 'tcp:80:far:80,proxy-protocol,bind=::'],
]

for (const [direction, text, told = text] of GOOD) {
  rule(`takes ${direction} ${text}, and tells it so that it is taken again`, () => {
    const parsed = parseProxyRule(direction, text)
    assert.is(formatProxyRule(parsed), told)
    assert.equal(parseProxyRule(direction, told), parsed)
    assert.is(proxyRuleKey(parsed), `${direction} ${told}`)
  })
}

/** What is wrong, and what is said about it. */
const BAD: readonly (readonly [ProxyDirection, string, RegExp])[] = [
  ['ingress', '', /want protocol:port:host:port/],
  ['ingress', 'tcp', /want protocol:port:host:port/],
  ['ingress', 'tcp:80:host', /want protocol:port:host:port/],
  ['ingress', 'tcp:80:host:80:more', /want protocol:port:host:port/],
  ['ingress', 'tcp:80:fd00::1:80', /IPv6 host in brackets/],
  ['ingress', 'sctp:80:host:80', /protocol "sctp", want tcp or udp/],
  ['ingress', ':80:host:80', /protocol "", want tcp or udp/],
  ['ingress', 'tcp:0:host:80', /port "0", want 1 to 65535/],
  ['ingress', 'tcp:90000:host:80', /port "90000", want 1 to 65535/],
  ['ingress', 'tcp:65536:host:80', /port "65536"/],
  ['ingress', 'tcp:-1:host:80', /port "-1"/],
  ['ingress', 'tcp:80.5:host:80', /port "80.5"/],
  ['ingress', 'tcp: 80:host:80', /port " 80"/],
  ['ingress', 'tcp::host:80', /port "", want/],
  ['ingress', 'tcp:80:host:0', /port of the host "0"/],
  ['ingress', 'tcp:80:host:', /port of the host ""/],
  ['ingress', 'tcp:80::80', /host is empty/],
  ['ingress', 'tcp:80: :80', /host " "/],
  ['ingress', 'tcp:80:ho st:80', /host "ho st"/],
  ['ingress', 'tcp:80:-a:80', /host "-a"/],
  ['ingress', 'tcp:80:a..b:80', /host "a..b"/],
  ['ingress', 'tcp:80:10.0.0:80', /IPv4 address of four parts/],
  ['ingress', 'tcp:80:10.0.0.256:80', /IPv4 address of four parts/],
  ['ingress', 'tcp:80:[]:80', /IPv6 address in brackets/],
  ['ingress', 'tcp:80:[10.0.0.1]:80', /IPv6 address in brackets/],
  ['ingress', 'tcp:80:[fe80::1%eth0]:80', /IPv6 address in brackets/],
  ['ingress', `tcp:80:${'a'.repeat(254)}:80`, /host of 254 characters, at most 253/],
  ['ingress', `tcp:80:${'a.'.repeat(200)}:80`, /characters, at most 400/],
  ['ingress', 'tcp:80:host:80,', /option "", want proxy-protocol or bind/],
  ['ingress', 'tcp:80:host:80,tls', /option "tls"/],
  ['ingress', 'udp:80:host:80,proxy-protocol', /proxy-protocol is for tcp only/],
  ['ingress', 'tcp:80:host:80,bind=0.0.0.0', /bind is for egress only/],
  ['egress', 'tcp:80:host:80,bind=', /bind "", want an IP address/],
  ['egress', 'tcp:80:host:80,bind=localhost', /bind "localhost", want an IP address/],
]

for (const [direction, text, says] of BAD) {
  rule(`refuses ${direction} ${JSON.stringify(text.slice(0, 40))}`, () => {
    assert.throws(
      () => parseProxyRule(direction, text),
      (error: NodeJS.ErrnoException) => error.code === 'ERR_MALFORMED' && says.test(error.message),
    )
  })
}

rule.run()
