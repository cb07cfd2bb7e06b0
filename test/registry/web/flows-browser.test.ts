// time limit: 900 s
/** What people do on the pages, by clicks: each form that no other test of a browser sends, and each page seen by axe-core,
 *  light and dark, wide and on a phone. One registry for all; the last rules put its clock forward. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fromBase64, toBase64 } from '../../../crypto/bytes.ts'
import { signingKeyPairFromSeed } from '../../../crypto/signing.ts'
import { parseIssuerRequest, signIssuerRequest } from '../../../protocol/issuer-request.ts'
import { loginByHttp } from '../../../simulations/lab/login.ts'
import { newToken, withToken } from '../../support/api.ts'
import { clientOf, newApplicant } from '../../support/applicant.ts'
import { mountedRoutes } from '../../support/mounted-routes.ts'
import { needs } from '../../support/needs.ts'
import { nexctl } from '../../support/nexctl.ts'
import { ADA, temporaryDirectory } from '../../support/registry.ts'
import { withIssuers } from '../../support/several-issuers.ts'
import { enrolled, listed, made, type WebScene, webScene } from '../../support/web-scene.ts'
import { DRIVEN_ELSEWHERE } from './driven-elsewhere.ts'
import { keyboardFlows } from './keyboard-flows.ts'
import { peopleFlows } from './people-flows.ts'

needs('chromium')

const rule = suite('flows of the pages in Chromium')
const DAY = 86_400
/** Codes are counted by user and by address: the others' are not to be used up. */
const ELSEWHERE = { headers: { 'x-forwarded-for': '192.0.2.9' } }

let scene: WebScene
rule.before(async () => {
  scene = await webScene()
})
rule.after(async () => {
  await scene[Symbol.asyncDispose]()
})

rule('a program logs in by the code that is typed, or is denied', async () => {
  const { page, look, open } = await scene.windowOf(scene.ada)
  const file = join(await temporaryDirectory(), 'login.json')
  const login = ['--login-file', file, 'login', '--registry', scene.registry.url, '--days', '2']
  const begun = async () => {
    const shown = Promise.withResolvers<string>()
    const ran = nexctl(login, (text) => {
      const [, code] = /shows the code ([A-Z-]{9})/.exec(text) ?? []
      if (code !== undefined) shown.resolve(code)
    })
    return { code: await shown.promise, ran }
  }
  const allowed = await begun()
  await open('/')
  await page.getByRole('link', { name: 'Approve a device' }).click()
  await page.getByLabel('Code').fill('bbbb-bbbb')
  await page.getByRole('button', { name: 'Continue' }).click()
  await page.getByRole('alert').waitFor()
  await look('70-unknown-code')
  await page.getByLabel('Code').fill(allowed.code.toLowerCase().replace('-', ' '))
  await page.getByRole('button', { name: 'Continue' }).click()
  await page.getByRole('heading', { name: 'Let this program act as you?' }).waitFor()
  await page.getByText('2 days').waitFor()
  await look('71-login-of-program')
  await page.getByRole('button', { name: 'Let it log in' }).click()
  await page.getByRole('heading', { name: 'Logged in' }).waitFor()
  await look('72-logged-in')
  assert.is((await allowed.ran).status, 0)
  assert.match((await nexctl(['--login-file', file, 'whoami'])).stdout, ADA.email)

  const denied = await begun()
  await open(`/device?code=${denied.code}`)
  await page.getByRole('button', { name: 'Deny' }).click()
  await page.getByRole('heading', { name: 'Denied' }).waitFor()
  await look('73-login-denied')
  assert.match((await denied.ran).stderr, 'the login was denied')
})

rule('a device is denied by who is asked, and by the admin who has to agree', async () => {
  const { registry, ada, bob, asAda, acme, organization } = scene
  const client = clientOf(registry)
  const [first, second] = [newApplicant('intruder', 'Alpine 3.20'), newApplicant('bobs-phone')]
  const { verification_uri_complete, device_code } = await client.authorize(first)
  const { page, look } = await scene.windowOf(ada)
  await page.goto(verification_uri_complete)
  await page.getByRole('button', { name: 'Deny' }).click()
  await page.getByText('intruder was not let in').waitFor()
  await look('74-device-denied')
  assert.match(await client.token(device_code).catch(String), /denied/)
  await page.goto(verification_uri_complete)
  await page.getByText('No device waits with this code').waitFor()

  await asAda('PATCH', acme, { approvalRequired: true })
  const waiting = await client.authorize(second)
  const { user_code } = waiting
  await bob.submit('/device', { user_code, organization, decision: 'approve' })
  await page.goto(`${registry.url}${acme}`)
  await page.getByRole('heading', { name: 'Devices that wait for you' }).waitFor()
  await look('75-waits-for-admin')
  await page.getByRole('button', { name: 'Deny bobs-phone' }).click()
  await page.getByText('No device yet.').waitFor()
  assert.is(await page.getByText('bobs-phone').count(), 0)
  assert.equal(await listed(asAda, `${acme}/join-requests`, 'joinRequests'), [])
  assert.match(await client.token(waiting.device_code).catch(String), /denied/)
  await asAda('PATCH', acme, { approvalRequired: false })
})

rule('a registration key is described anew and revoked', async () => {
  const { registry, ada, asAda, acme } = scene
  const lab = String(
    (await made(asAda, `${acme}/registration-keys`, { description: 'lab' }))['key'],
  )
  await made(asAda, `${acme}/registration-keys`, { description: 'rack', groups: ['servers'] })
  const { page, look, open } = await scene.windowOf(ada)
  await open(acme)
  await page.getByRole('textbox', { name: 'Description of lab' }).fill('laboratory')
  await page.getByRole('button', { name: 'Save description of lab' }).click()
  await page.getByRole('textbox', { name: 'Description of laboratory' }).waitFor()
  const keys = async () =>
    (await listed(asAda, `${acme}/registration-keys`, 'registrationKeys')).map(
      ({ description }) => description,
    )
  assert.equal((await keys()).toSorted(), ['laboratory', 'rack'])
  await page.getByRole('textbox', { name: 'Description of rack' }).fill('  ')
  await page.getByRole('button', { name: 'Save description of rack' }).click()
  await page.getByRole('alert').filter({ hasText: 'description' }).waitFor()
  await look('76-key-description-refused')
  await page.getByRole('textbox', { name: 'Description', exact: true }).fill('  ')
  await page.getByRole('button', { name: 'Create a key' }).click()
  await page.getByRole('alert').filter({ hasText: 'description' }).waitFor()
  await page.getByRole('button', { name: 'Revoke laboratory' }).click()
  await page
    .getByRole('textbox', { name: 'Description of laboratory' })
    .waitFor({ state: 'detached' })
  await look('77-keys')
  assert.equal(await keys(), ['rack'])
  const late = clientOf(registry).enrol(newApplicant('late'), { registrationKey: lab })
  assert.match(await late.then(String, String), /registration key/)
})

rule('a device is renamed, loses a prefix and a note, and is searched for in vain', async () => {
  const { ada, asAda, acme } = scene
  const path = `${acme}/devices/${await enrolled(scene, asAda, 'edge')}`
  await asAda('PATCH', path, { prefixes: ['10.7.0.0/16'], metadata: { rack: 'b7' } })
  const { page, look, open } = await scene.windowOf(ada)
  await open(acme)
  await page.getByLabel('Find').fill('nothing like it')
  await page.keyboard.press('Enter')
  await page.getByText('No device is like that').waitFor()
  await look('78-no-device-like-that')
  await open(path)
  await page.getByLabel('Name', { exact: true }).fill('edge-berlin')
  await page.getByRole('button', { name: 'Rename' }).click()
  await page.getByRole('heading', { name: 'edge-berlin' }).waitFor()
  await look('79-device')
  await page.getByRole('button', { name: 'Withdraw 10.7.0.0/16' }).click()
  await page.getByText('None yet.').waitFor()
  await page.getByRole('button', { name: 'Remove rack' }).click()
  await page.getByRole('cell', { name: 'rack', exact: true }).waitFor({ state: 'detached' })
  const { json } = await asAda('GET', path)
  assert.equal([json['name'], json['prefixes'], json['metadata']], ['edge-berlin', [], {}])
  await page.getByRole('link', { name: 'Remove this device' }).click()
  await look('80-remove-device')
  await page.getByRole('link', { name: 'Keep it' }).click()
  await page.getByRole('heading', { name: 'edge-berlin' }).waitFor()
})

keyboardFlows(rule, () => scene)
peopleFlows(rule, () => scene)

rule('what is not there, not allowed or over says so, and leads back', async () => {
  const { bob, registry } = scene
  const { page, look, open } = await scene.windowOf(bob)
  await open('/users')
  await page.getByText('only the first user', { exact: false }).waitFor()
  await look('95-not-allowed')
  await open('/account')
  await page.context().clearCookies()
  await page.getByLabel('Description').fill('too late')
  await page.getByRole('button', { name: 'Make the token' }).click()
  await page.getByText('not signed in any more').waitFor()
  await look('96-signed-out-meanwhile')
  await page.getByRole('link', { name: 'Back to the start' }).click()
  await page.getByRole('heading', { name: 'Sign in' }).waitFor()
  for (let count = 0; count < 10; count += 1) {
    await bob.fetch(`/device?code=BBBB-BBB${'BCDFGHJKLM'[count]}`, ELSEWHERE)
  }
  const again = await scene.windowOf(bob)
  await again.page.goto(`${registry.url}/device?code=BBBB-BBBB`)
  await again.page.getByRole('link', { name: 'Back to the start' }).waitFor()
  await again.look('97-too-many-codes')
})

rule('of several identity providers one is chosen; whom it does not let in is told why', () =>
  withIssuers(
    [
      { rules: { label: 'Staff' } },
      { rules: { label: 'Guests of the northern branch office', allowedGroups: ['dev'] } },
    ],
    async ({ url }) => {
      const { page, look } = await scene.windowOf()
      const signIn = async (label: string, subject: string) => {
        await page.getByRole('link', { name: `Sign in with ${label}` }).click()
        await page.locator('[name=subject]').fill(subject)
        await page.keyboard.press('Enter')
      }
      await page.goto(`${url}/device`)
      await page.getByText('Choose where you have your account.').waitFor()
      await look('102-providers')
      await signIn('Staff', 'grace')
      await page.getByRole('heading', { name: 'Approve a device' }).waitFor()
      await page.getByRole('button', { name: 'Sign out' }).click()
      await page.getByRole('link', { name: 'Also sign out of' }).waitFor()
      await look('103-signed-out')
      await page.getByRole('link', { name: 'Sign in again' }).click()
      await signIn('Guests', 'grace.ops')
      await page.getByText('members of dev', { exact: false }).waitFor()
      await look('104-not-let-in')
      await page.getByRole('link', { name: 'Back to the start' }).click()
      await page.getByText('Choose where you have your account.').waitFor()
    },
  ),
)

/** Ada's laptop must agree to every device from now on; the root key is not here any more. */
async function lockedWithoutRoot({ registry, organization, asAda, acme }: WebScene) {
  const laptop = await enrolled(scene, asAda, 'laptop')
  const { token } = await newToken(asAda, ['root'])
  const asRoot = withToken(registry.url, token)
  const { key } = await made(asRoot, `${acme}/root/export`, {})
  const root = signingKeyPairFromSeed<'root'>(fromBase64(String(key)))
  const { request } = await made(asRoot, `${acme}/issuer/requests`, { approvers: [laptop] })
  const asked = parseIssuerRequest(String(request))
  const signed = signIssuerRequest(asked, root, registry.clock.now())
  await made(asRoot, `${acme}/issuer/certificates`, {
    certificate: toBase64(signed),
    how: 'overlap',
  })
  await rm(join(registry.config.stateDirectory, 'roots', `${organization}.key`))
}

rule('tells which devices wait for an approver, and when the issuer certificate ends', async () => {
  const { registry, acme } = scene
  registry.clock.advance(60)
  await lockedWithoutRoot(scene)
  await enrolled(scene, scene.asAda, 'printer')
  for (const [days, told] of [
    [0, undefined],
    [61, /ends on \d{4}-\d\d-\d\d, in 2[789] days: then no device can renew/],
    [30, /ended on \d{4}-\d\d-\d\d: devices cannot renew any more/],
  ] as const) {
    registry.clock.advance(days * DAY)
    const { page, look, open } = await scene.windowOf(await loginByHttp(registry.url, ADA))
    await open(acme)
    const row = page.getByRole('row', { name: 'printer' })
    assert.is(await row.getByText('waits for an approver').count(), 1)
    const notice = page.getByText('The issuer certificate of this organization')
    if (told === undefined) assert.is(await notice.count(), 0)
    else assert.match((await notice.textContent()) ?? '', told)
    await look(`98-issuer-${days}`)
  }
})

/** `GET /organizations/:organization/policy`, of what was asked. */
function isOf(path: string, asked: string): boolean {
  return new RegExp(`^${path.replaceAll(/:\w+/g, '[^/]+')}$`).test(asked)
}

rule('every page and form is driven here or by the test that is named', async () => {
  const routes = (await mountedRoutes(scene.registry)).filter(
    ({ path }) => !path.startsWith('/v1/'),
  )
  const named = routes.map(({ method, path }) => `${method} ${path}`)
  const missed = named.filter((each) => ![...scene.asked].some((asked) => isOf(each, asked)))
  assert.equal(
    missed.filter((each) => !(each in DRIVEN_ELSEWHERE)),
    [],
  )
  assert.equal(
    Object.keys(DRIVEN_ELSEWHERE).filter((each) => !named.includes(each)),
    [],
  )
  assert.equal(scene.complaints(), [])
})

rule.run()
