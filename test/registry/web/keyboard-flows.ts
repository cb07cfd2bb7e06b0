/** The flows that everybody needs, by keys alone, for flows-browser.test.ts. */
import type { Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import { clientOf, newApplicant } from '../../support/applicant.ts'
import { PHONE, WIDE } from '../../support/chromium.ts'
import { ADA } from '../../support/registry.ts'
import { enrolled, listed, type WebScene } from '../../support/web-scene.ts'

type Rule = (name: string, test: () => Promise<void>) => void

export function keyboardFlows(rule: Rule, scene: () => WebScene): void {
  rule('keys alone sign in, after a mistake that the field in focus is described by', () =>
    signsIn(scene()),
  )
  rule('keys alone approve a device, after a mistake', () => approves(scene()))
  rule('keys alone make a registration key, and the focus is where it is told', () =>
    makesKey(scene()),
  )
  rule('what is folded opens by a key and keeps the focus; a mistake takes it', () =>
    unfolds(scene()),
  )
  rule('the Tab key comes to every control in turn, in sight and marked', () => reachesAll(scene()))
}

/** Of the element in focus. */
const focused = (page: Page, asked: string) =>
  page.evaluate(`(${asked})(document.activeElement)`) as Promise<string | null>
const NAME = '(each) => each.getAttribute("name") ?? each.textContent.trim()'
const ROLE = '(each) => each.getAttribute("role")'
const DESCRIPTION =
  '(each) => document.getElementById(each.getAttribute("aria-describedby"))?.textContent ?? null'

async function tabTo(page: Page, name: string): Promise<void> {
  for (let presses = 0; presses < 60; presses += 1) {
    if ((await focused(page, NAME)) === name) return
    await page.keyboard.press('Tab')
  }
  throw new Error(`60 times Tab, and never at ${name}`)
}

async function signsIn({ windowOf }: WebScene): Promise<void> {
  const { page, open, look } = await windowOf()
  await open('/')
  // Chromium gives the focus a moment after the page is loaded: what is typed before is lost.
  await page.locator('[name=email]:focus').waitFor()
  await page.keyboard.type(ADA.email)
  assert.is(await page.locator('[name=email]').inputValue(), ADA.email)
  await page.keyboard.press('Tab')
  await page.keyboard.type('not her password')
  await page.keyboard.press('Enter')
  await page.getByRole('alert').waitFor()
  assert.is(await focused(page, NAME), 'password')
  assert.match((await focused(page, DESCRIPTION)) ?? '', /password/)
  await look('100-wrong-password')
  await page.keyboard.type(ADA.password)
  await page.keyboard.press('Tab')
  assert.is(await focused(page, NAME), 'Sign in')
  assert.is(await page.locator('[name=password]').inputValue(), ADA.password)
  await page.keyboard.press('Space')
  const home = page.getByRole('heading', { name: 'Your organizations' })
  await home.waitFor().catch(async (error: Error) => {
    throw new Error(`${error.message}\n${await page.getByRole('main').textContent()}`)
  })
}

async function approves({ registry, ada, asAda, organization, windowOf }: WebScene): Promise<void> {
  const { page, open } = await windowOf(ada)
  const client = clientOf(registry)
  const applicant = newApplicant('sensor', 'Debian 12 (arm64)')
  const { user_code, device_code } = await client.authorize(applicant)
  await open('/')
  await tabTo(page, 'Approve a device')
  await page.keyboard.press('Enter')
  await page.locator('[name=code]:focus').waitFor()
  await page.keyboard.type('zzzz')
  await page.keyboard.press('Enter')
  await page.getByRole('alert').waitFor()
  assert.is(await focused(page, NAME), 'code')
  assert.match((await focused(page, DESCRIPTION)) ?? '', 'No device waits with this code')
  await page.keyboard.press('ControlOrMeta+a')
  await page.keyboard.type(user_code)
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Let this device in?' }).waitFor()
  await tabTo(page, 'organization')
  await page.keyboard.type('Acme')
  await tabTo(page, 'decision')
  await page.keyboard.press('Space')
  await page.getByRole('heading', { name: 'Approved' }).waitFor()
  await client.enrol(applicant, { token: await client.token(device_code) })
  await tabTo(page, 'See its devices')
  await page.keyboard.press('Enter')
  await page.getByRole('link', { name: 'sensor' }).waitFor()
  const devices = await listed(asAda, `/organizations/${organization}/devices`, 'devices')
  assert.ok(devices.some(({ name }) => name === 'sensor'))
}

async function makesKey({ ada, asAda, acme, windowOf }: WebScene): Promise<void> {
  const { page, open, look } = await windowOf(ada)
  await open(acme)
  await page.getByRole('textbox', { name: 'Description', exact: true }).focus()
  await page.keyboard.type('   ')
  await page.keyboard.press('Enter')
  await page.getByRole('alert').waitFor()
  assert.is(await focused(page, ROLE), 'alert')
  await page.getByRole('textbox', { name: 'Description', exact: true }).focus()
  await page.keyboard.type('by keys')
  await tabTo(page, 'singleUse')
  await page.keyboard.press('Space')
  await tabTo(page, 'Create a key')
  await page.keyboard.press('Enter')
  await page.getByRole('status').waitFor()
  assert.is(await focused(page, ROLE), 'status')
  assert.match((await page.getByRole('status').textContent()) ?? '', /nrk_[a-z2-7]+/)
  await look('101-new-key')
  await page.keyboard.press('Tab')
  assert.is(await focused(page, NAME), 'text')
  const keys = await listed(asAda, `${acme}/registration-keys`, 'registrationKeys')
  assert.is(keys.find(({ description }) => description === 'by keys')?.['singleUse'], false)
}

async function unfolds({ ada, windowOf }: WebScene): Promise<void> {
  const { page, open } = await windowOf(ada)
  await open('/organizations/new')
  await page.locator('[name=name]:focus').waitFor()
  await page.keyboard.type('Gamma')
  await page.keyboard.press('Tab')
  await page.keyboard.press('Enter')
  await page.getByLabel('IPv4 range').waitFor()
  assert.is(await focused(page, NAME), 'Address ranges of its own')
  await page.keyboard.press('Space')
  await page.getByLabel('IPv4 range').waitFor({ state: 'hidden' })
  await page.keyboard.press('Space')
  await page.keyboard.press('Tab')
  await page.keyboard.type('8.8.8.0/24')
  await page.keyboard.press('Enter')
  await page.getByRole('alert').waitFor()
  assert.is(await focused(page, ROLE), 'alert')
  assert.ok(await page.getByLabel('IPv4 range').isVisible())
}

async function reachesAll(scene: WebScene): Promise<void> {
  const { registry, ada, asAda, acme, organization, windowOf } = scene
  const device = `${acme}/devices/${await enrolled(scene, asAda, 'reached')}`
  await asAda('PATCH', acme, { approvalRequired: true })
  const { user_code } = await clientOf(registry).authorize(newApplicant('waits'))
  await scene.bob.submit('/device', { user_code, organization, decision: 'approve' })
  const { page, open } = await windowOf(ada)
  const faults: string[] = []
  for (const viewport of [WIDE, PHONE]) {
    await page.setViewportSize(viewport)
    for (const path of ['/', acme, device, `${acme}/members`, `${acme}/settings`, '/account']) {
      await open(path)
      const found = await walk(page)
      faults.push(...found.map((fault) => `${path}, ${viewport.width} px: ${fault}`))
    }
  }
  await asAda('PATCH', acme, { approvalRequired: false })
  assert.equal(faults, [])
}

/** In the order of the page. Of radio buttons that belong together one has the focus. */
const CONTROLS = `[...document.querySelectorAll(
  'a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]'
)].filter((each) => each.checkVisibility() && !(each.type === 'radio' && !each.checked))`

/** What is wrong with the focus at the control of that place. */
const FAULT = `(at) => {
  const [wanted, found] = [controls[at], document.activeElement]
  const told = (each) => each.outerHTML.slice(0, 90)
  if (found !== wanted) return 'at ' + told(found) + ', want ' + told(wanted)
  const { outlineStyle, outlineWidth } = getComputedStyle(found)
  if (outlineStyle === 'none' || parseFloat(outlineWidth) < 1) return 'not marked: ' + told(found)
  const { left, top, width, height } = found.getClientRects()[0]
  const seen = document.elementFromPoint(left + width / 2, top + height / 2)
  return found.contains(seen) ? '' : 'out of sight: ' + told(found)
}`

async function walk(page: Page): Promise<readonly string[]> {
  const count = Number(await page.evaluate(`(window.controls = ${CONTROLS}).length`))
  const faults: string[] = []
  await page.evaluate('controls[0].focus()')
  for (let at = 0; at < count && faults.length === 0; at += 1) {
    const fault = String(await page.evaluate(`(${FAULT})(${at})`))
    if (fault !== '') faults.push(fault)
    await page.keyboard.press('Tab')
  }
  return faults
}
