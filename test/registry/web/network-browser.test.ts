// time limit: 900 s
import type { Browser } from 'playwright-core'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { generateSigningKeyPair } from '../../../crypto/signing.ts'
import { type DeviceId, deviceIdOf } from '../../../protocol/keys.ts'
import { seconds } from '../../../protocol/time.ts'
import type { Network, NetworkLink } from '../../../registry/network.ts'
import { renderNetwork } from '../../../registry/web/network-page.ts'
import { launchChromium, looking, SLOW_MS } from '../../support/chromium.ts'
import { needs } from '../../support/needs.ts'
import { networkScene } from '../../support/network-scene.ts'
import { startTestRegistry } from '../../support/registry.ts'

needs('chromium')

const rule = suite('page of the network in Chromium')

const NOW = seconds(1_800_000_000)
const WIDE = { width: 1180, height: 760 }
const PHONE = { width: 390, height: 800 }

let browser: Browser
rule.before(async () => {
  browser = await launchChromium()
})
rule.after(() => browser.close())

const NAMES = ['laptop', 'phone', 'edge', 'rack-a', 'rack-b', 'printer', 'camera', 'db', 'web']

/** A network of so many, of whom each is in touch with some others. */
function networkOfSize(count: number, each: number): Network {
  const ids = Array.from({ length: count }, () =>
    deviceIdOf(generateSigningKeyPair<'device'>().publicKey),
  )
  const devices = ids.map((id, index) => ({
    ...{
      id,
      owner: index % 3 === 0 ? 'ada@example.org' : 'bob@example.org',
      seenAt: seconds(NOW - index * 600),
    },
    name:
      index < NAMES.length
        ? (NAMES[index] ?? '')
        : `sensor-${index}-in-the-northern-hall`.slice(0, 12 + (index % 20)),
    state:
      index % 9 === 5
        ? ('offline' as const)
        : index % 11 === 7
          ? ('reached' as const)
          : ('online' as const),
  }))
  const links: NetworkLink[] = []
  devices.forEach(({ id: a, state }, index) => {
    for (let step = 1; step <= each; step += 1) {
      const other = devices[(index + step * step) % count]
      if (other === undefined || other.id === a || state === 'offline' || other.state === 'offline')
        continue
      if (links.some((link) => [link.a, link.b].includes(a) && [link.a, link.b].includes(other.id)))
        continue
      const kind = (index + step) % 5 === 1 ? ('relayed' as const) : ('direct' as const)
      const relay = kind === 'relayed' && {
        relay: index % 2 === 0 ? ('registry' as const) : (ids[2] as DeviceId),
      }
      const said = {
        kind,
        roundTripMs: 4 + ((index * 37 + step * 11) % 180),
        ...relay,
        saidAt: seconds(NOW - 60 * step),
      }
      links.push({
        a,
        b: other.id,
        ...said,
        reports: [
          { by: a, ...said },
          { by: other.id, ...said },
        ],
      })
    }
  })
  return { devices, links }
}

function pageOf(network: Network, device?: string): string {
  return renderNetwork({
    viewer: { name: 'ada@example.org', admin: true },
    organization: { id: 'a'.repeat(26) as never, name: 'Acme', createdAt: NOW },
    ...{ role: 'owner', network, now: NOW },
    look: { text: '', path: 'all', page: 1, device },
  })
}

rule(
  'can be read with one device, three, twenty and a hundred, light, dark and on a phone',
  async () => {
    await using registry = await startTestRegistry()
    const context = await browser.newContext({ viewport: WIDE, bypassCSP: true })
    context.setDefaultTimeout(SLOW_MS)
    const page = await context.newPage()
    const { complaints, look } = await looking(page)
    let shown = ''
    // It would find nobody signed in.
    await page.route('**/network.js', (route) => route.fulfill({ body: '' }))
    await page.route(`${registry.url}/shown`, (route) =>
      route.fulfill({ contentType: 'text/html', body: shown }),
    )
    const [three, twenty] = [networkOfSize(3, 2), networkOfSize(20, 5)]
    const hundred = networkOfSize(100, 8)
    for (const [name, network, colorScheme, viewport] of [
      ['one', networkOfSize(1, 0), 'light', WIDE],
      ['three-light', three, 'light', WIDE],
      ['three-dark', three, 'dark', WIDE],
      ['three-phone', three, 'dark', PHONE],
      ['twenty-dark', twenty, 'dark', WIDE],
      ['twenty-phone', twenty, 'light', PHONE],
      ['hundred', hundred, 'light', WIDE],
    ] as const) {
      shown = pageOf(network)
      await page.emulateMedia({ colorScheme })
      await page.setViewportSize(viewport)
      await page.goto(`${registry.url}/shown`)
      await look(`50-network-${name}`)
      const wide = await page.evaluate('document.documentElement.scrollWidth')
      assert.ok(Number(wide) <= viewport.width, `${name} is ${wide} px wide`)
      if (network.devices.length > 40) {
        await page.getByText('Drawn are 40 of 100 devices').waitFor()
        await page.getByText('Page 1 of').first().waitFor()
        assert.is(await page.locator('svg.network .node').count(), 40)
      } else assert.is(await page.locator('svg.network .node').count(), network.devices.length)
    }
    const chosen = networkOfSize(20, 5)
    shown = pageOf(chosen, chosen.devices[2]?.id)
    await page.setViewportSize(WIDE)
    await page.goto(`${registry.url}/shown`)
    await look('50-network-chosen')
    assert.equal(complaints, [])
    await context.close()
  },
)

rule('changes by itself when a path is relayed, and when a device goes', async () => {
  await using here = await networkScene()
  const { home, laptop, phone } = here
  const context = await browser.newContext({ viewport: WIDE })
  context.setDefaultTimeout(SLOW_MS)
  await context.addCookies(here.cookies)
  const page = await context.newPage()
  const { complaints } = await looking(page)
  await laptop.say([phone.path('direct', 12)])
  await page.goto(`${home}/network`)
  await page.getByText('2 of 3 devices online; 1 link direct, 0 relayed').waitFor()
  await page.getByRole('link', { name: 'phone, online' }).focus()
  await laptop.say([{ ...phone.path('relayed', 80), relay: 'registry' }])
  await page.getByText('2 of 3 devices online; 0 links direct, 1 relayed').waitFor()
  await page.getByRole('cell', { name: 'relayed by a registry' }).waitFor()
  assert.is(await page.locator('svg.network path.relayed').count(), 1)
  assert.match(String(await page.evaluate('document.activeElement.id')), /^node-/)
  await phone.leave()
  await page.getByText('1 of 3 devices online, 1 more in touch with others').waitFor()
  await laptop.say([])
  await page.getByText('1 of 3 devices online; no links').waitFor()
  await page.getByRole('link', { name: 'phone, offline' }).click()
  await page.getByText('Show the whole network').waitFor()
  // One script, and nothing that the page's policy forbids.
  assert.equal(complaints, [])
  await here.browser.fetch('/logout', { method: 'POST', headers: { origin: here.browser.baseUrl } })
  await page.getByRole('heading', { name: 'Sign in' }).waitFor()
  await context.close()
})

rule.run()
