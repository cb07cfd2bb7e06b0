// time limit: 240 s
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type BrowserContext, chromium, type Page } from 'playwright-core'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { clientOf, newApplicant } from '../../support/applicant.ts'
import { needs } from '../../support/needs.ts'
import {
  ADA,
  startTestRegistry,
  type TestRegistry,
  temporaryDirectory,
} from '../../support/registry.ts'

needs('chromium')

const rule = suite('pages in Chromium')

/** Kept where NEXODUS_SCREENSHOTS says, to be looked at. */
const pictures = process.env['NEXODUS_SCREENSHOTS'] ?? (await temporaryDirectory())
await mkdir(pictures, { recursive: true })

const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: [
    ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
    ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
  ],
})
rule.after(() => browser.close())

/** A page that fails the test for anything the browser complains of but the status of answers. */
async function openPage(context: BrowserContext, complaints: string[]): Promise<Page> {
  const page = await context.newPage()
  page.on('console', (message) => {
    if (
      message.type() === 'error' &&
      !message.text().includes('the server responded with a status')
    ) {
      complaints.push(message.text())
    }
  })
  page.on('pageerror', (error) => void complaints.push(error.message))
  return page
}

async function picture(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true })
}

async function waiting(registry: TestRegistry, name: string, system: string) {
  const client = clientOf(registry)
  const applicant = newApplicant(name, system)
  const authorization = await client.authorize(applicant)
  const link = authorization.verification_uri_complete
  return {
    link,
    enrol: async () =>
      client.enrol(applicant, { token: await client.token(authorization.device_code) }),
  }
}

rule('take a person from the set-up link to an approved device and its removal', async () => {
  await using registry = await startTestRegistry()
  const context = await browser.newContext({ viewport: { width: 1180, height: 760 } })
  const complaints: string[] = []
  const page = await openPage(context, complaints)

  await page.goto(registry.registry.setupUrl ?? '')
  await picture(page, '01-set-up')
  await page.getByLabel('E-mail').fill(ADA.email)
  await page.getByLabel('Password').fill(ADA.password)
  await page.getByRole('button', { name: 'Set up' }).click()

  await page.getByRole('heading', { name: 'Sign in' }).waitFor()
  await picture(page, '02-sign-in')
  await page.getByLabel('E-mail').fill(ADA.email)
  await page.getByLabel('Password').fill('a wrong password')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('alert').waitFor()
  await picture(page, '03-wrong-password')
  await page.getByLabel('Password').fill(ADA.password)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('heading', { name: 'Your organizations' }).waitFor()
  await picture(page, '04-home')

  for (const [name, system] of [
    ['laptop', 'Debian 12 (x64)'],
    ['build-server', 'Ubuntu 24.04 (arm64)'],
  ] as const) {
    const device = await waiting(registry, name, system)
    await page.goto(device.link)
    await picture(page, `05-approve-${name}`)
    await page.getByRole('button', { name: 'Approve' }).click()
    await page.getByRole('heading', { name: 'Approved' }).waitFor()
    await picture(page, '06-approved')
    await device.enrol()
  }
  await page.getByRole('link', { name: 'See its devices' }).click()
  await page.getByLabel('Description').fill('image of the build farm')
  await page.getByRole('button', { name: 'Create a key' }).click()
  assert.match((await page.getByRole('status').textContent()) ?? '', /nrk_[a-z2-7]+/)
  await picture(page, '07-organization')

  await page.getByRole('link', { name: 'laptop' }).click()
  await page.getByRole('textbox', { name: 'Prefix' }).fill('10.99.0.1/32')
  await page.getByRole('button', { name: 'Grant' }).click()
  await page.getByRole('cell', { name: '10.99.0.1/32' }).waitFor()
  await page.getByRole('textbox', { name: 'Prefix' }).fill('10.99.0.1/8')
  await page.getByRole('button', { name: 'Grant' }).click()
  await page.getByRole('alert').waitFor()
  await picture(page, '08-device')
  await page.getByRole('link', { name: 'Remove this device' }).click()
  await picture(page, '09-remove')
  await page.getByRole('button', { name: 'Remove it' }).click()
  await page.getByRole('heading', { name: 'Devices' }).waitFor()
  assert.is(await page.getByRole('link', { name: 'laptop' }).count(), 0)

  await page.getByRole('link', { name: 'Users' }).click()
  await page.getByRole('button', { name: 'Invite a user' }).click()
  await picture(page, '10-users')
  await page.goto(`${registry.url}/organizations/nowhere`)
  await picture(page, '11-not-found')

  await page.emulateMedia({ colorScheme: 'dark' })
  await page.goto(registry.url)
  await page.getByRole('link', { name: 'ada' }).first().click()
  await picture(page, '12-organization-dark')
  await page.setViewportSize({ width: 390, height: 800 })
  await picture(page, '13-organization-phone')
  await page.goto((await waiting(registry, 'phone-test', 'Alpine 3.20')).link)
  await picture(page, '14-approve-phone')
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByRole('heading', { name: 'Signed out' }).waitFor()
  await picture(page, '15-signed-out')

  assert.equal(complaints, [])
  await context.close()
})

rule('refuse, in the browser, a form that another site sends', async () => {
  await using registry = await startTestRegistry()
  const ada = await registry.ada()
  const context = await browser.newContext()
  const value = ada.cookie('nexodus-session') ?? ''
  // Cookies know no ports, so another port of this host is the nearest there is to a hostile sibling.
  await context.addCookies([{ name: 'nexodus-session', value, url: registry.url }])
  const page = await context.newPage()
  await page.route('http://127.0.0.1:9/**', (route) =>
    route.fulfill({
      contentType: 'text/html',
      body: `<form method="post" action="${registry.url}/logout"><button>Win a prize</button></form>`,
    }),
  )
  await page.goto('http://127.0.0.1:9/prize')
  const [answer] = await Promise.all([
    page.waitForResponse(`${registry.url}/logout`),
    page.getByRole('button').click(),
  ])
  assert.is(answer.status(), 403)
  assert.is((await ada.fetch('/')).status, 200)
  await context.close()
})

rule.run()
