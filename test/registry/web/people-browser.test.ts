// time limit: 900 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parsePrefix } from '../../../protocol/address.ts'
import { clientOf, newApplicant } from '../../support/applicant.ts'
import { launchChromium, looking } from '../../support/chromium.ts'
import { needs } from '../../support/needs.ts'
import { ADA, BOB, startTestRegistry } from '../../support/registry.ts'

needs('chromium')

const rule = suite('pages of organizations in Chromium')

const browser = await launchChromium()
rule.after(() => browser.close())

const viewport = { width: 1180, height: 760 }

rule(
  'organization, rules, invitation, member, requests, keys and audit log, without a mouse’s help',
  async () => {
    await using registry = await startTestRegistry()
    const context = await browser.newContext({ viewport, bypassCSP: true })
    const page = await context.newPage()
    const { complaints, look } = await looking(page)
    const signIn = async (who: typeof ADA) => {
      await page.getByLabel('E-mail').fill(who.email)
      await page.getByLabel('Password').fill(who.password)
      await page.keyboard.press('Enter')
      await page.getByRole('heading', { name: 'Your organizations' }).waitFor()
    }

    await page.goto(registry.registry.setupUrl ?? '')
    await look('21-set-up')
    await page.getByLabel('E-mail').fill(ADA.email)
    await page.getByLabel('Password').fill(ADA.password)
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    await look('22-sign-in')
    await signIn(ADA)

    await page.getByRole('link', { name: 'New organization' }).click()
    await page.getByLabel('Name').fill('Acme')
    await page.getByText('Address ranges of its own').click()
    await page.getByLabel('IPv4 range').fill('8.8.8.0/24')
    await page.getByRole('button', { name: 'Make it' }).click()
    await page.getByRole('alert').waitFor()
    await look('23-new-organization-refused')
    await page.getByLabel('IPv4 range').fill('10.44.0.0/16')
    await page.getByRole('button', { name: 'Make it' }).click()
    await page.getByRole('heading', { name: 'Acme' }).waitFor()
    await look('24-organization-empty')

    await page.getByRole('link', { name: 'Settings' }).click()
    await page.getByLabel('an admin must agree').check()
    await page.getByLabel('Certificates last').selectOption('12 hours')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('status').waitFor()
    await look('25-settings')

    // Bob gets an account for his address, so that it counts as verified, and an invitation to it.
    await page.getByRole('link', { name: 'Users' }).click()
    await page.getByLabel('Their e-mail address').fill(BOB.email)
    await page.getByRole('button', { name: 'Invite a user' }).click()
    const link =
      /https?:\S+\/setup\/[\w-]+/.exec((await page.getByRole('status').textContent()) ?? '')?.[0] ??
      ''
    await look('26-users')
    await page.getByRole('link', { name: 'Organizations', exact: true }).click()
    await page.getByRole('link', { name: 'Acme' }).click()
    const home = page.url()
    await page.getByRole('link', { name: 'Members' }).click()
    await page.getByLabel('E-mail address').fill(BOB.email.toUpperCase())
    await page.getByRole('button', { name: 'Invite', exact: true }).click()
    await page.getByRole('cell', { name: BOB.email, exact: true }).waitFor()
    await page.getByRole('button', { name: 'Invite', exact: true }).click()
    assert.match((await page.getByRole('status').textContent()) ?? '', /\/invitations\/[\w-]{43}/)
    await look('27-members')
    await page.getByRole('button', { name: 'Sign out' }).click()

    await page.goto(link)
    assert.is(await page.getByLabel('E-mail').inputValue(), BOB.email)
    await page.getByLabel('Password').fill(BOB.password)
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    await signIn(BOB)
    await page.getByRole('heading', { name: 'You are invited to Acme' }).waitFor()
    await look('28-invited')
    await page.getByRole('button', { name: 'Join' }).click()
    await page.getByRole('heading', { name: 'Acme' }).waitFor()
    assert.is(await page.getByRole('link', { name: 'Settings' }).count(), 0)

    const client = clientOf(registry)
    const asks = { prefixes: [parsePrefix('10.7.0.0/16')], roles: ['exit-node' as const] }
    const applicant = { ...newApplicant('bobs-laptop'), asks }
    const authorization = await client.authorize(applicant)
    await page.goto(authorization.verification_uri_complete)
    await page.getByLabel('Organization').selectOption('Acme')
    await page.getByRole('button', { name: 'Approve' }).click()
    await page.getByRole('heading', { name: 'An admin has to agree' }).waitFor()
    await look('29-waits')
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByRole('link', { name: 'Sign in again' }).click()
    await signIn(ADA)

    await page.goto(home)
    await look('30-join-request')
    await page.getByRole('button', { name: 'Approve' }).click()
    await page.getByRole('link', { name: 'bobs-laptop' }).waitFor()
    registry.clock.advance(30)
    await client.enrol(applicant, { token: await client.token(authorization.device_code) })
    await page.goto(home)
    await page.getByLabel('Find').fill('bobs')
    await page.getByLabel('Show').selectOption('asking')
    await page.getByRole('button', { name: 'Filter' }).click()
    await page.getByText('asks', { exact: true }).waitFor()
    await page.getByLabel('Description').fill('build farm')
    await page.getByLabel('Groups').fill('servers, edge')
    await page.getByRole('button', { name: 'Create a key' }).click()
    assert.match(
      (await page.getByRole('status').textContent()) ?? '',
      /npm run nexd -- up .* --registration-key nrk_/,
    )
    await look('31-organization')
    await page.getByRole('link', { name: 'bobs-laptop' }).click()
    await look('32-device-asks')
    await page.getByRole('button', { name: 'Allow 10.7.0.0/16' }).click()
    await page.getByRole('button', { name: 'Deny exit-node' }).click()
    await page.getByRole('button', { name: 'Withdraw' }).waitFor()
    assert.is(await page.getByRole('heading', { name: 'It asks to' }).count(), 0)
    await page.getByLabel('Groups, separated').fill('lab')
    await page.getByRole('button', { name: 'Save groups' }).click()
    await page.getByLabel('relay: ').check()
    await page.getByLabel('exit-node: ').check()
    await page.getByRole('button', { name: 'Save roles' }).click()
    await page.getByText('relay, exit-node', { exact: true }).waitFor()
    for (const owner of [ADA.email, BOB.email]) {
      await page.getByLabel('Owned by').selectOption(owner)
      await page.getByRole('button', { name: 'Change owner' }).click()
      await page.getByRole('definition').filter({ hasText: owner }).waitFor()
    }
    await page.getByLabel('Key').fill('rack')
    await page.getByLabel('Value').fill('b7 <i>')
    await page.getByRole('button', { name: 'Save note' }).click()
    await page.getByRole('cell', { name: 'b7 <i>' }).waitFor()
    await page.getByLabel('Name').fill('No Name')
    await page.getByRole('button', { name: 'Rename' }).click()
    await page.getByRole('alert').waitFor()
    await look('33-device')

    await page.getByRole('link', { name: 'Acme' }).click()
    await page.getByRole('link', { name: 'Policy' }).click()
    const written = page.getByLabel('Text, as YAML')
    await written.fill('version: 1\ndefault: perhaps\n')
    await page.getByRole('button', { name: 'Save it' }).click()
    await page.getByRole('alert').waitFor()
    await look('42-policy-refused')
    await written.fill(
      'version: 1\ndefault: {inbound: deny, outbound: accept}\nsecurity_groups:\n  "*":\n    inbound_rules: [{ip_protocol: icmp}]\n',
    )
    await page.getByLabel('A question to it').fill('group:lab -> bobs-laptop:22')
    await page.getByRole('button', { name: 'Try it' }).click()
    await page.getByText('No, over IPv4: sent by default, not received').waitFor()
    await look('43-policy-tried')
    await page.getByRole('button', { name: 'Save it' }).click()
    await page.getByText('Revision 1 is in force').waitFor()

    await page.goto(`${home}/audit`)
    await page.getByRole('cell', { name: 'device.approved' }).waitFor()
    await look('34-audit')
    await page.emulateMedia({ colorScheme: 'dark' })
    for (const [path, name] of [
      ['', '35-organization-dark'],
      ['/members', '36-members-dark'],
      ['/settings', '37-settings-dark'],
      ['/policy', '44-policy-dark'],
    ] as const) {
      await page.goto(`${home}${path}`)
      await look(name)
    }
    await page.setViewportSize({ width: 390, height: 800 })
    for (const [path, name] of [
      ['', '38-organization-phone'],
      ['/members', '39-members-phone'],
      ['/audit', '40-audit-phone'],
      ['/policy', '45-policy-phone'],
    ] as const) {
      await page.goto(`${home}${path}`)
      await look(name)
      const wide = await page.evaluate('document.documentElement.scrollWidth')
      assert.ok(Number(wide) <= 390, `${name} is ${wide} px wide`)
    }

    await page.goto(`${home}/members`)
    await page.getByRole('link', { name: 'Remove…' }).click()
    await page.getByLabel('goes to another member').check()
    await look('41-remove-member')
    await page.getByRole('button', { name: 'Remove', exact: true }).click()
    await page.getByRole('heading', { name: 'Members' }).waitFor()
    await page.goto(`${home}/settings`)
    await page.getByLabel('To delete it').fill('Acne')
    await page.getByRole('button', { name: 'Delete Acme' }).click()
    await page.getByRole('alert').waitFor()
    await page.getByLabel('To delete it').fill('Acme')
    await page.getByRole('button', { name: 'Delete Acme' }).click()
    await page.getByRole('heading', { name: 'Your organizations' }).waitFor()
    assert.is(await page.getByRole('link', { name: 'Acme' }).count(), 0)

    assert.equal(complaints, [])
    await context.close()
  },
)

rule.run()
