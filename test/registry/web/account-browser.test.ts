// time limit: 600 s
import type { Browser } from 'playwright-core'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { withToken } from '../../support/api.ts'
import { launchChromium, looking, SLOW_MS } from '../../support/chromium.ts'
import { needs } from '../../support/needs.ts'
import { BOB, startTestRegistry } from '../../support/registry.ts'

needs('chromium')

const rule = suite('page of the account in Chromium')

let browser: Browser
rule.before(async () => {
  browser = await launchChromium()
})
rule.after(() => browser.close())

rule('makes a token, shows it once, revokes it, and deletes the user', async () => {
  await using registry = await startTestRegistry()
  const bob = await registry.bob(await registry.ada())
  const context = await browser.newContext({
    ...{ viewport: { width: 1180, height: 760 }, bypassCSP: true },
  })
  context.setDefaultTimeout(SLOW_MS)
  const name = 'nexodus-session'
  await context.addCookies([{ name, value: bob.cookie(name) ?? '', url: registry.url }])
  const page = await context.newPage()
  const { complaints, look } = await looking(page)
  await page.goto(registry.url)
  await page.getByRole('link', { name: BOB.email }).click()
  await page.getByRole('heading', { name: 'Your account' }).waitFor()
  await page.getByLabel('Description').fill('backup of the audit log')
  await page.getByLabel('Lasts').selectOption('7 days')
  await page.getByLabel('see your organizations').uncheck()
  await page.getByRole('button', { name: 'Make the token' }).click()
  await page.getByRole('alert').waitFor()
  assert.is(await page.getByLabel('Description').inputValue(), 'backup of the audit log')
  await page.getByLabel('see your organizations').check()
  await page.getByLabel('read the audit log').check()
  await page.getByRole('button', { name: 'Make the token' }).click()
  const said = (await page.getByRole('status').textContent()) ?? ''
  const [token = ''] = /nxt_[a-z2-7]{32}/.exec(said) ?? []
  assert.is((await withToken(registry.url, token)('GET', '/user/audit')).status, 200)
  await look('60-account')
  await page.emulateMedia({ colorScheme: 'dark' })
  await page.setViewportSize({ width: 390, height: 800 })
  await page.goto(`${registry.url}/account`)
  assert.is((await page.content()).includes(token), false)
  await look('61-account-phone-dark')
  assert.ok(Number(await page.evaluate('document.documentElement.scrollWidth')) <= 390)
  await page.getByRole('button', { name: 'Revoke backup of the audit log' }).click()
  await page.getByText('You have none.').waitFor()
  assert.is((await withToken(registry.url, token)('GET', '/user')).status, 401)
  await page.getByLabel('To delete your user').fill('bob')
  await page.getByRole('button', { name: 'Delete my user' }).click()
  await page.getByText('That is not your name').waitFor()
  await page.getByLabel('To delete your user').fill(BOB.email)
  await page.getByRole('button', { name: 'Delete my user' }).click()
  await page.getByRole('heading', { name: 'Your user is deleted' }).waitFor()
  await page.goto(registry.url)
  await page.getByRole('heading', { name: 'Sign in' }).waitFor()
  assert.equal(complaints, [])
  await context.close()
})

rule.run()
