// time limit: 240 s
/** The page of the network: what it shows of many devices, of none, and to many who look. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { generateSigningKeyPair } from '../../../crypto/signing.ts'
import { deviceIdOf } from '../../../protocol/keys.ts'
import type { PathKind } from '../../../protocol/path-report.ts'
import { seconds } from '../../../protocol/time.ts'
import type { Network } from '../../../registry/network.ts'
import { renderNetwork } from '../../../registry/web/network-page.ts'
import { networkScene } from '../../support/network-scene.ts'

const rule = suite('page of the network')

const NOW = seconds(1_800_000_000)

/** The first is in touch with every other one, as `kind` says. */
function star(count: number, kind: PathKind = 'direct'): Network {
  const devices = Array.from({ length: count }, (_, index) => ({
    ...{ id: deviceIdOf(generateSigningKeyPair<'device'>().publicKey), owner: 'ada' },
    ...{ name: `d${index}`, state: 'online' as const, seenAt: NOW },
  }))
  const [hub, ...others] = devices
  const links = others.map(({ id }) => {
    const said = { kind, saidAt: NOW }
    const a = hub?.id ?? id
    return { a, b: id, ...said, reports: [{ by: a, ...said }] }
  })
  return { devices, links }
}

function pageOf(network: Network, page: number): string {
  return renderNetwork({
    viewer: { name: 'ada@example.org', admin: true },
    organization: { id: 'a'.repeat(26) as never, name: 'Acme', createdAt: NOW },
    ...{ role: 'owner', network, now: NOW, look: { text: '', path: 'all', page } },
  })
}

/** Rows of links and of devices, and what is said of the page that they are on. */
function shown(text: string) {
  const [, links = '', devices = ''] = text.split(/<h2>(?:Links|Devices) /)
  const rows = (part: string) => part.match(/<tr>\s*<td>/g)?.length
  return [rows(links), rows(devices), ...[...text.matchAll(/Page \d+ of \d+/g)].map(([all]) => all)]
}

rule(
  'turns its tables together: the shorter one stays, and there is nothing behind the end',
  () => {
    const few = star(51)
    const some = { ...few, links: [...few.links, ...star(61).links] }
    assert.equal(shown(pageOf(some, 1)), [50, 50, 'Page 1 of 3', 'Page 1 of 2'])
    assert.equal(shown(pageOf(some, 2)), [50, 1, 'Page 2 of 3', 'Page 2 of 2'])
    for (const page of [3, 4, 10_000]) {
      const text = pageOf(some, page)
      assert.equal(shown(text), [10, 1, 'Page 3 of 3', 'Page 2 of 2'])
      assert.not.match(text, 'Later rows')
    }
    const short = { ...some, devices: some.devices.slice(0, 9) }
    assert.equal(shown(pageOf(short, 3)), [10, 9, 'Page 3 of 3'])
    assert.equal(shown(pageOf(star(1), 7)), [undefined, 1])
  },
)

rule('counts as direct what is direct, and says what is neither that nor relayed', () => {
  const counts = (kind: PathKind) => {
    const text = pageOf(star(3, kind), 1)
    const [, direct, relayed] = /<td>(\d+)<\/td><td>(\d+)<\/td><td>ada/.exec(text) ?? []
    return [/online; ([^<]+)</.exec(text)?.[1], direct, relayed]
  }
  assert.equal(counts('direct'), ['2 links direct, 0 relayed', '2', '0'])
  assert.equal(counts('relayed'), ['0 links direct, 2 relayed', '0', '2'])
  assert.equal(counts('unknown'), ['0 links direct, 0 relayed, 2 in some other way', '0', '0'])
})

rule('looks at no device that the organization has not', async () => {
  await using here = await networkScene()
  const { browser, home, ada, path, laptop } = here
  const foreign = deviceIdOf(generateSigningKeyPair<'device'>().publicKey)
  for (const [device, status] of [
    [laptop.id, 200],
    [foreign, 404],
  ] as const) {
    for (const page of ['network', 'network/live']) {
      const answer = await browser.fetch(`${home}/${page}?device=${device}`)
      assert.is(answer.status, status, page)
      assert.not.match(await answer.text(), 'Infinity')
    }
    assert.is((await ada('GET', `${path}?device=${device}`)).status, status)
  }
  const { json } = await ada('GET', `${path}?device=${foreign}`)
  assert.equal([json['code'], json['field']], ['device-unknown', 'device'])
})

rule('that refreshes itself in many tabs takes no page from anybody', async () => {
  await using here = await networkScene()
  const { browser, home } = here
  const asked = (path: string) => fetch(`${home}${path}`, { redirect: 'manual' })
  for (let count = 0; count < 300; count++) {
    const { status } = await asked(`/network/live?version=${count}`)
    if (status !== 303) throw new Error(`${count}: ${status}`)
  }
  assert.is((await asked('/network/live')).status, 429)
  assert.is((await browser.fetch(`${home}/network/live`)).status, 429)
  for (const page of ['/account', '/', `${home}/network`, `${home}/network/live/x`, home]) {
    const { status } = await browser.fetch(page)
    assert.is(status, page.endsWith('x') ? 404 : 200, page)
  }
})

rule.run()
