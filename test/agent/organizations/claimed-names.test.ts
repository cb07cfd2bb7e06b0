import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Claim, FIRST, keyOf, shareOut } from '../../../agent/organizations/claims.ts'
import { isPrivateName, serverNames } from '../../../agent/organizations/private-names.ts'
import { NO_SHARE, shareTexts } from '../../../agent/organizations/share.ts'
import { parsePrefix } from '../../../protocol/address.ts'

const range = (text: string): Claim => ({ kind: 'range', value: parsePrefix(text) })
const prefix = (text: string): Claim => ({ kind: 'prefix', value: parsePrefix(text) })
const domain = (value: string): Claim => ({ kind: 'domain', value })
const server = (value: string): Claim => ({ kind: 'server', value })
const ACME = [range('100.64.0.0/10'), range('fd11::/48'), domain('acme.nexodus')]
const BETA = [range('10.77.0.0/16'), range('fd22::/48'), domain('beta.nexodus')]

/** What each holds and is refused after it has wanted one thing after the other.
 *  @param mayBePublic may beta? */
function after(mayBePublic: boolean, ...steps: readonly Readonly<Record<string, Claim[]>>[]) {
  let shares = shareOut([], new Map())
  for (const step of steps)
    shares = shareOut(
      shares.held,
      new Map(Object.entries(step)),
      new Set(mayBePublic ? ['beta'] : []),
    )
  const of = (label: string): readonly string[] =>
    shares.held.filter((each) => each.label === label).map(keyOf)
  const refused = (label: string): readonly string[] =>
    (shares.refused.get(label) ?? []).map(({ value, by, over }) => `${value} ${by ?? '-'} ${over}`)
  return { of, refused, shares }
}

const rule = suite('names that a further organization of a host may have')

for (const name of ['nexodus.example', 'github.com', 'corp.beta.com', 'printer.local', 'arpa'])
  rule(`do not reach ${name}, but by leave of the operator`, () => {
    const wants = { [FIRST]: ACME, beta: [...BETA, domain(name)] }
    const { of, refused, shares } = after(false, wants)
    assert.equal(of('beta'), BETA.map(keyOf))
    assert.match(refused('beta').join(), /private names .*--allow-public-routes/)
    const share = { ...NO_SHARE, refused: shares.refused.get('beta') ?? [] }
    assert.match(shareTexts(share).join(), new RegExp(`^refused: ${name} is beyond private names`))
    assert.ok(after(true, wants).of('beta').includes(`domain ${name}`))
    const own = after(false, { [FIRST]: [...ACME, domain(name)], beta: BETA })
    assert.ok(own.of(FIRST).includes(`domain ${name}`))
  })

for (const name of ['lan', 'vpn.corp', 'db.internal', 'home.arpa', 'x.home.arpa', 'a.test'])
  rule(`are those that nobody has in the public tree: ${name}`, () => {
    const { of } = after(false, { [FIRST]: ACME, beta: [...BETA, domain(name)] })
    assert.ok(of('beta').includes(`domain ${name}`))
  })

rule('are taken away again that it had before this was so', () => {
  const had = { [FIRST]: ACME, beta: [...BETA, domain('github.com')] }
  const { held } = shareOut([], new Map(Object.entries(had)), new Set(['beta']))
  const now = shareOut(held, new Map(Object.entries(had))).held
  assert.not.ok(now.some(({ value }) => value === 'github.com'))
})

rule('are reverse names of its own addresses, and of no others', () => {
  const [own, lan, more] = [
    '77.10.in-addr.arpa',
    '7.168.192.in-addr.arpa',
    '0.0.0.0.0.0.0.0.2.2.d.f.ip6.arpa',
  ]
  const others = ['10.in-addr.arpa', 'in-addr.arpa', '8.8.8.in-addr.arpa', '6.168.192.in-addr.arpa']
  const wants = [own, lan, more, ...others].map((name) => domain(name as string))
  const { of, refused } = after(false, {
    [FIRST]: ACME,
    // What it may not have itself gives it no names.
    beta: [...BETA, prefix('192.168.7.0/24'), prefix('8.8.8.0/24'), ...wants],
  })
  assert.equal(
    of('beta').slice(4),
    [own, lan, more].map((name) => `domain ${name}`),
  )
  assert.is(refused('beta').length, 1 + others.length)
})

const servers = suite('names by which the first one’s registries are found')
const REGISTRY = 'registry.nexodus.example'

for (const stolen of [REGISTRY, 'nexodus.example'])
  servers(`are in no domain of another, whoever came first: ${stolen}`, () => {
    const beta = [...BETA, domain(stolen)]
    const first = [...ACME, server(REGISTRY)]
    for (const steps of [[{ [FIRST]: first, beta }], [{ beta }, { [FIRST]: first, beta }]]) {
      const { of, refused } = after(true, ...steps)
      assert.equal([of(FIRST), of('beta')], [first.map(keyOf), BETA.map(keyOf)])
      assert.equal(refused('beta'), [`${stolen} first ${REGISTRY}`])
    }
  })

servers('are taken back while the other is not there to be asked', () => {
  const had = new Map([['beta', [...BETA, domain('nexodus.example')]]])
  const { held } = shareOut([], had, new Set(['beta']))
  const wanted = new Map([
    [FIRST, [...ACME, server(REGISTRY)]],
    ['beta', undefined],
  ])
  const now = shareOut(held, wanted, new Set(['beta'])).held
  assert.equal(now.filter(({ label }) => label === 'beta').map(keyOf), BETA.map(keyOf))
})

servers('keep nothing else from another, and nothing from the first', () => {
  const first = [...ACME, server('nexodus'), server('acme.corp'), domain('acme.corp')]
  const beta = [...BETA, domain('beta.corp'), domain('beta.acme.test')]
  const { of, refused } = after(false, { [FIRST]: first, beta })
  assert.equal([of(FIRST), of('beta')], [first.map(keyOf), beta.map(keyOf)])
  assert.equal([refused(FIRST), refused('beta')], [[], []])
  // Private ones are in the way, too.
  assert.equal(after(false, { [FIRST]: first, beta: [...BETA, domain('corp')] }).refused('beta'), [
    'corp first acme.corp',
  ])
})

servers('are read from URLs and multiaddrs, addresses left out', () => {
  const urls = [
    'https://B.example:8443/x',
    'https://192.0.2.1',
    'http://[::1]:80',
    'https://a.example.',
  ]
  const multiaddrs = [
    '/dns4/r.example/tcp/443/wss/p2p/x',
    '/dns6/R.example/tcp/1',
    '/dnsaddr/d.example',
    '/dns/e.example/udp/1',
    '/ip4/192.0.2.1/tcp/1',
    '/ip4/192.0.2.1/tcp/1/p2p/x/p2p-circuit',
  ]
  assert.equal(
    serverNames(urls, multiaddrs),
    ['a', 'b', 'd', 'e', 'r'].map((each) => `${each}.example`),
  )
  assert.not.ok(isPrivateName('local'))
})

rule.run()
servers.run()
