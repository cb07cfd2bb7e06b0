/** Flows of members, invitations, settings and accounts, for flows-browser.test.ts. */
import type { Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import { completeSetup, inviteUser, loginByHttp } from '../../../simulations/lab/login.ts'
import { newToken, withSession } from '../../support/api.ts'
import { clientOf, newApplicant } from '../../support/applicant.ts'
import { ADA, BOB } from '../../support/registry.ts'
import { enrolled, joins, listed, made, type WebScene } from '../../support/web-scene.ts'

type Rule = (name: string, test: () => Promise<void>) => void
type Scene = () => WebScene

export function peopleFlows(rule: Rule, scene: Scene): void {
  rule('an owner changes a role, but not that of the last owner', () => rolesChange(scene()))
  rule('an invitation is declined, taken back, accepted by its link, and then over', () =>
    invitationsEnd(scene()),
  )
  rule('a member leaves, and takes the devices along', () => memberLeaves(scene()))
  rule('who has no organization is told what to do', () => nobodyYet(scene()))
  rule('an owner sets how often owners of devices sign in again', () => intervalIsSet(scene()))
  rule('an organization is deleted when its name is typed, with devices or without', () =>
    organizationEnds(scene()),
  )
  rule('more tokens than a page holds are on the next; a last owner is not deleted', () =>
    tokensGoOn(scene()),
  )
  rule('the audit log goes on to its first entry', () => auditGoesOn(scene()))
}

async function rolesChange({ ada, asAda, acme, windowOf }: WebScene): Promise<void> {
  const { page, look, open } = await windowOf(ada)
  const role = async (name: string) =>
    (await listed(asAda, `${acme}/members`, 'members')).find((each) => each['name'] === name)?.[
      'role'
    ]
  await open(`${acme}/members`)
  for (const [chosen, is] of [
    ['admin: all devices, members', 'admin'],
    ['member: own devices', 'member'],
  ] as const) {
    await page.getByRole('combobox', { name: `Role of ${BOB.email}` }).selectOption(chosen)
    await page.getByRole('button', { name: `Change role of ${BOB.email}` }).click()
    await page.waitForFunction(
      `document.querySelector('[aria-label="Role of ${BOB.email}"] [selected]')?.value === '${is}'`,
    )
    assert.is(await role(BOB.email), is)
  }
  await page
    .getByRole('combobox', { name: `Role of ${ADA.email}` })
    .selectOption('member: own devices')
  await page.getByRole('button', { name: `Change role of ${ADA.email}` }).click()
  await page.getByRole('alert').filter({ hasText: 'owner' }).waitFor()
  await look('81-last-owner')
  assert.is(await role(ADA.email), 'owner')
}

async function invitationsEnd(scene: WebScene): Promise<void> {
  const { ada, bob, asAda, asBob, windowOf } = scene
  const home = `/organizations/${(await made(asAda, '/organizations', { name: 'Beta' }))['id']}`
  const invitations = () => listed(asAda, `${home}/invitations`, 'invitations')
  await made(asAda, `${home}/invitations`, { role: 'admin', email: BOB.email })
  const his = await windowOf(bob)
  await his.open('/')
  await his.look('82-invited')
  await his.page.getByRole('button', { name: 'Decline' }).click()
  const heading = his.page.getByRole('heading', { name: 'You are invited to Beta' })
  await heading.waitFor({ state: 'detached' })
  assert.equal(await invitations(), [])

  const hers = await windowOf(ada)
  await hers.open(`${home}/members`)
  const invite = hers.page.getByRole('button', { name: 'Invite', exact: true })
  await hers.page.getByLabel('E-mail address').fill('grace@example.org')
  await invite.click()
  await hers.page.getByRole('button', { name: 'Take back the invitation' }).click()
  await hers.page.getByText('grace@example.org').waitFor({ state: 'detached' })
  assert.equal(await invitations(), [])
  await invite.click()
  const said = (await hers.page.getByRole('status').textContent()) ?? ''
  const [link = ''] = /https?:\S+\/invitations\/[\w-]{43}/.exec(said) ?? []
  await hers.look('83-invitation-link')

  await his.page.goto(link)
  await his.page.getByRole('heading', { name: 'Join Beta?' }).waitFor()
  await his.look('84-join')
  await his.page.getByRole('link', { name: 'Not now' }).click()
  await his.page.goto(link)
  await his.page.getByRole('button', { name: 'Join' }).click()
  await his.page.getByRole('heading', { name: 'Beta' }).waitFor()
  assert.is((await asBob('GET', home)).status, 200)
  await his.page.goto(link)
  await his.page.getByText('the invitation is used or over', { exact: false }).waitFor()
  await his.look('85-invitation-over')
}

async function memberLeaves(scene: WebScene): Promise<void> {
  const { bob, asAda, asBob, acme, windowOf } = scene
  await enrolled(scene, asBob, 'bobs-laptop')
  const { page, look, open } = await windowOf(bob)
  await open(`${acme}/members`)
  await page.getByRole('link', { name: 'Leave…' }).click()
  await page.getByRole('heading', { name: 'Leave Acme?' }).waitFor()
  await page.getByText('1 device of yours').waitFor()
  await look('86-leave')
  await page.getByRole('link', { name: 'Back' }).click()
  await page.getByRole('link', { name: 'Leave…' }).click()
  await page.getByLabel('is removed at once').check()
  await page.getByRole('button', { name: 'Leave' }).click()
  await page.getByRole('heading', { name: 'Your organizations' }).waitFor()
  assert.is(await page.getByRole('link', { name: 'Acme' }).count(), 0)
  assert.is((await asBob('GET', acme)).status, 404)
  const names = (await listed(asAda, `${acme}/devices`, 'devices')).map(({ name }) => name)
  assert.not.ok(names.includes('bobs-laptop'))
  await open(acme)
  await look('87-no-member-any-more')
  await joins(asAda, asBob, acme)
}

async function nobodyYet({ ada, registry, windowOf }: WebScene): Promise<void> {
  const grace = { email: 'grace@example.org', password: 'one more good password' }
  await completeSetup(await inviteUser(ada), grace)
  const browser = await loginByHttp(registry.url, grace)
  const { page, look, open } = await windowOf(browser)
  await open('/')
  await page.getByRole('link', { name: 'grace' }).last().click()
  await page.getByRole('link', { name: 'Settings' }).click()
  await page.getByLabel('To delete it').fill('grace')
  await page.getByRole('button', { name: 'Delete grace' }).click()
  await page.getByText('You belong to no organization yet').waitFor()
  await look('88-no-organization')
  const waiting = await clientOf(registry).authorize(newApplicant('tablet', 'Android 15'))
  await page.goto(waiting.verification_uri_complete)
  await page.getByRole('link', { name: 'Make an organization' }).waitFor()
  assert.is(await page.getByRole('button', { name: 'Approve' }).count(), 0)
  await look('89-nowhere-to-approve')
}

async function intervalIsSet({ ada, asAda, acme, windowOf }: WebScene): Promise<void> {
  const { page, look, open } = await windowOf(ada)
  const interval = async () => {
    const { json } = await asAda('GET', acme)
    return json['reauthenticateAfter']
  }
  await open(`${acme}/settings`)
  for (const [chosen, seconds] of [
    ['every 7 days', 604_800],
    ['never', undefined],
  ] as const) {
    await page.getByLabel('must sign in again').selectOption(chosen)
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('Saved.').waitFor()
    if (seconds !== undefined) await look('90-settings')
    assert.is((await interval()) ?? undefined, seconds)
    await open(`${acme}/settings`)
    assert.is(await chosenIn(page, 'reauthenticateAfter'), chosen)
  }
  await page.getByLabel('Name', { exact: true }).fill('   ')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByRole('alert').filter({ hasText: 'name' }).waitFor()
  await look('91-settings-refused')
}

async function chosenIn(page: Page, name: string): Promise<unknown> {
  return page.evaluate(`document.querySelector('[name=${name}]').selectedOptions[0].textContent`)
}

async function organizationEnds(scene: WebScene): Promise<void> {
  const { ada, asAda, windowOf } = scene
  const { page, look, open } = await windowOf(ada)
  for (const devices of [0, 1]) {
    const name = devices === 0 ? 'Empty' : 'Lab'
    const home = `/organizations/${(await made(asAda, '/organizations', { name }))['id']}`
    if (devices > 0) await enrolled({ ...scene, acme: home }, asAda, 'probe')
    await open(`${home}/settings`)
    const told = devices === 0 ? 'The organization has no devices.' : 'Its 1 device is removed'
    await page.getByText(told).waitFor()
    await page.getByLabel('To delete it').fill('something else')
    await page.getByRole('button', { name: `Delete ${name}` }).click()
    await page.getByRole('alert').filter({ hasText: 'nothing was deleted' }).waitFor()
    await look(`92-delete-${devices}`)
    assert.is((await asAda('GET', home)).status, 200)
    await page.getByLabel('To delete it').fill(name)
    await page.getByRole('button', { name: `Delete ${name}` }).click()
    await page.getByRole('heading', { name: 'Your organizations' }).waitFor()
    assert.is((await asAda('GET', home)).status, 404)
  }
}

async function tokensGoOn({ ada, asAda, windowOf }: WebScene): Promise<void> {
  for (let count = 0; count < 51; count += 1) await newToken(asAda, ['read'])
  const { page, look, open } = await windowOf(ada)
  await open('/account')
  await page.getByText('You are the last owner of').waitFor()
  assert.is(await page.getByRole('button', { name: 'Delete my user' }).count(), 0)
  await page.getByRole('link', { name: 'More tokens' }).click()
  await page.getByRole('link', { name: 'The newest tokens' }).waitFor()
  assert.ok((await page.getByRole('row').count()) < 50)
  await look('93-account')
  assert.is((await withSession(ada)('GET', '/user')).status, 200)
}

async function auditGoesOn({ ada, asAda, acme, windowOf }: WebScene): Promise<void> {
  for (let count = 0; count < 51; count += 1) {
    await asAda('PATCH', acme, { approvalRequired: count % 2 === 0 })
  }
  await asAda('PATCH', acme, { approvalRequired: false })
  const { page, look, open } = await windowOf(ada)
  await open(`${acme}/audit`)
  assert.is(await page.getByText('no. 1', { exact: true }).count(), 0)
  await page.getByRole('link', { name: 'Older ones' }).click()
  await page.getByText('no. 1', { exact: true }).waitFor()
  await look('94-first-entries')
  assert.is(await page.getByRole('link', { name: 'Older ones' }).count(), 0)
}
