import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { defaultLinkMtu, readRouteMtus } from '../../../agent/host/link-mtu.ts'
import { CommandError, type Commands } from '../../../agent/host/run.ts'
import { parseIpAddress } from '../../../protocol/address.ts'

const IPV4 = `Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
wlan0\t00000000\t0102A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth1\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0
`
const zeros = '0'.repeat(32)
const IPV6 = `${zeros} 00 ${zeros} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003    ppp0
fd000000000000000000000000000000 40 ${zeros} 00 ${zeros} 00000100 00000001 00000000 00000001     eth1
${zeros} 00 ${zeros} 00 ${zeros} ffffffff 00000001 00000000 00200200       lo
`
const files =
  (changes: Record<string, string> = {}) =>
  (path: string) =>
    ({
      '/proc/net/route': IPV4,
      '/proc/net/ipv6_route': IPV6,
      '/sys/class/net/eth0/mtu': '1460\n',
      '/sys/class/net/wlan0/mtu': '1500\n',
      '/sys/class/net/eth1/mtu': '9000\n',
      '/sys/class/net/ppp0/mtu': '1492\n',
      '/sys/class/net/lo/mtu': '65536\n',
      ...changes,
    })[path] ?? ''

const rule = suite('link MTU')

rule(
  'is of the links that default routes lead to, the lowest metric first, the larger family',
  () => {
    assert.is(defaultLinkMtu('wg0', files()), 1492)
    assert.is(defaultLinkMtu('wg0', files({ '/proc/net/ipv6_route': '' })), 1460)
    assert.is(defaultLinkMtu('wg0', files({ '/proc/net/route': '' })), 1492)
  },
)

rule('is unknown where there is no default route, only the tunnel’s, or the link has gone', () => {
  const alone = { '/proc/net/ipv6_route': '' }
  assert.is(defaultLinkMtu('eth0', files(alone)), undefined)
  assert.is(
    defaultLinkMtu('wg0', () => ''),
    undefined,
  )
  assert.is(defaultLinkMtu('wg0', files({ ...alone, '/sys/class/net/eth0/mtu': '' })), undefined)
  assert.is(
    defaultLinkMtu('wg0', files({ ...alone, '/proc/net/route': '../x 00000000' })),
    undefined,
  )
})

/** What `ip` answers to each line of a batch; a line without an answer fails the whole batch. */
function commands(answers: Record<string, string>, asked: string[] = []): Commands {
  return {
    run: (_command, _args, { input = '' } = {}) => {
      asked.push(input)
      const lines = input.trim().split('\n')
      const texts = lines.map((line) => answers[line.replace('route get ', '')])
      return texts.includes(undefined)
        ? Promise.reject(new CommandError('ERR_COMMAND_FAILED', 'unreachable'))
        : Promise.resolve(texts.map((text) => `${text}\n`).join(''))
    },
    require: () => Promise.resolve(),
    start: () => {
      throw new Error('nothing is started')
    },
  }
}

const [NEAR, FAR, V6, NOWHERE] = ['10.1.0.9', '10.2.0.2', 'fd02::2', '203.0.113.1'].map(
  parseIpAddress,
) as [never, never, never, never]
const ANSWERS = {
  '10.1.0.9': '[{"dst":"10.1.0.9","dev":"eth1","flags":[],"uid":0,"cache":[]}]',
  '10.2.0.2':
    '[{"dst":"10.2.0.2","gateway":"10.1.0.1","dev":"eth0","cache":[],"expires":598,"metrics":[{"mtu":1400}]}]',
  'fd02::2':
    '[{"dst":"fd02::2","from":"::","dev":"ppp0","metric":1024,"flags":[],"pref":"medium"}]',
}

rule('of a route is the link’s, or what a router said, all asked at once', async () => {
  const asked: string[] = []
  const found = await readRouteMtus(commands(ANSWERS, asked), [NEAR, FAR, V6, FAR], files())
  assert.equal(
    [...found],
    [
      [NEAR, 9000],
      [FAR, 1400],
      [V6, 1492],
    ],
  )
  assert.is(asked.length, 1)
})

rule('of an address that no route leads to is missing, and the others are not', async () => {
  const found = await readRouteMtus(commands(ANSWERS), [FAR, NOWHERE, NEAR], files())
  assert.equal([...found.keys()], [FAR, NEAR])
  assert.equal(await readRouteMtus(commands(ANSWERS), [], files()), new Map())
})

rule.run()
