// time limit: 240 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { clientOf, newApplicant } from '../../support/applicant.ts'
import { complaintsOf, launchChromium, picturing } from '../../support/chromium.ts'
import { needs } from '../../support/needs.ts'
import { ADA, startTestRegistry, type TestRegistry } from '../../support/registry.ts'

needs('chromium')

const rule = suite('pages in Chromium')

const browser = await launchChromium()
rule.after(() => browser.close())

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
  const viewport = { width: 1180, height: 760 }
  const context = await browser.newContext({ viewport })
  const page = await context.newPage()
  const complaints = complaintsOf(page)
  const picture = await picturing(page)

  await page.goto(registry.registry.setupUrl ?? '')
  await picture('01-set-up')
  await page.getByLabel('E-mail').fill(ADA.email)
  await page.getByLabel('Password').fill(ADA.password)
  await page.getByRole('button', { name: 'Set up' }).click()

  await page.getByRole('heading', { name: 'Sign in' }).waitFor()
  await picture('02-sign-in')
  await page.getByLabel('E-mail').fill(ADA.email)
  await page.getByLabel('Password').fill('a wrong password')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('alert').waitFor()
  await picture('03-wrong-password')
  await page.getByLabel('Password').fill(ADA.password)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('heading', { name: 'Your organizations' }).waitFor()
  await picture('04-home')

  for (const [name, system] of [
    ['laptop', 'Debian 12 (x64)'],
    ['build-server', 'Ubuntu 24.04 (arm64)'],
  ] as const) {
    const device = await waiting(registry, name, system)
    await page.goto(device.link)
    await picture(`05-approve-${name}`)
    await page.getByRole('button', { name: 'Approve' }).click()
    await page.getByRole('heading', { name: 'Approved' }).waitFor()
    await picture('06-approved')
    await device.enrol()
  }
  await page.getByRole('link', { name: 'See its devices' }).click()
  await page.getByLabel('Description').fill('image of the build farm')
  await page.getByRole('button', { name: 'Create a key' }).click()
  assert.match((await page.getByRole('status').textContent()) ?? '', /nrk_[a-z2-7]+/)
  await picture('07-organization')

  await page.getByRole('link', { name: 'laptop' }).click()
  await page.getByRole('textbox', { name: 'Prefix' }).fill('10.99.0.1/32')
  await page.getByRole('button', { name: 'Grant' }).click()
  await page.getByRole('cell', { name: '10.99.0.1/32', exact: true }).waitFor()
  await page.getByRole('textbox', { name: 'Prefix' }).fill('10.99.0.1/8')
  await page.getByRole('button', { name: 'Grant' }).click()
  await page.getByRole('alert').waitFor()
  await picture('08-device')
  await page.getByRole('link', { name: 'Remove this device' }).click()
  await picture('09-remove')
  await page.getByRole('button', { name: 'Remove it' }).click()
  await page.getByRole('heading', { name: 'Devices' }).waitFor()
  assert.is(await page.getByRole('link', { name: 'laptop' }).count(), 0)

  await page.getByRole('link', { name: 'Users' }).click()
  await page.getByRole('button', { name: 'Invite a user' }).click()
  await picture('10-users')
  await page.goto(`${registry.url}/organizations/nowhere`)
  await picture('11-not-found')

  await page.emulateMedia({ colorScheme: 'dark' })
  await page.goto(registry.url)
  await page.getByRole('link', { name: 'ada' }).first().click()
  await picture('12-organization-dark')
  await page.setViewportSize({ width: 390, height: 800 })
  await picture('13-organization-phone')
  await page.goto((await waiting(registry, 'phone-test', 'Alpine 3.20')).link)
  await picture('14-approve-phone')
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByRole('heading', { name: 'Signed out' }).waitFor()
  await picture('15-signed-out')

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
