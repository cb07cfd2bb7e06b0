/** An organization with one thing of each kind that a path can name. */
import * as assert from 'uvu/assert'
import {
  type Browser,
  completeSetup,
  inviteUser,
  loginByHttp,
  organizationsOf,
} from '../../simulations/lab/login.ts'
import { type Ask, type Json, newToken, withSession } from './api.ts'
import { clientOf, newApplicant } from './applicant.ts'
import { ADA, type TestRegistry } from './registry.ts'

/** Ids by the names that paths give them. */
export type Ids = Readonly<Record<string, string>>

export interface OneOfEach {
  readonly ids: Ids
  /** The id of one more invitation, to the e-mail address `invited`. */
  invite(): Promise<string>
}

const CAROL = { email: 'carol@example.org', password: 'a third good password' }

/** Of Ada's organization, which Carol, a new user, joins. */
export async function oneOfEachOfAda(registry: TestRegistry, ada: Browser): Promise<OneOfEach> {
  await completeSetup(await inviteUser(ada), CAROL)
  const carol = await loginByHttp(registry.url, CAROL)
  return oneOfEach(registry, { owner: ada, member: carol, invited: ADA.email })
}

/** Of the owner's first organization. `member` joins it; `invited` is the address that its invitations are for. */
export async function oneOfEach(
  registry: TestRegistry,
  people: { readonly owner: Browser; readonly member: Browser; readonly invited: string },
): Promise<OneOfEach> {
  const { owner, member, invited } = people
  const ask = withSession(owner)
  const [organization = ''] = await organizationsOf(owner)
  const home = `/organizations/${organization}`
  const invite = async () =>
    idOf(await made(ask, `${home}/invitations`, { role: 'member', email: invited }))
  const link = await made(ask, `${home}/invitations`, { role: 'member' })
  const secret = String(link['link']).split('/').at(-1)
  await made(withSession(member), '/invitation-links', { secret })
  const key = await made(ask, `${home}/registration-keys`, {
    ...{ description: 'lab', singleUse: false },
  })
  const registrationKey = String(key['key'])
  await clientOf(registry).enrol(newApplicant('laptop'), { registrationKey })
  const ids = {
    ...{ organization, key: idOf(key), user: String((await read(member, '/user'))['id']) },
    device: idOf(firstOf(await read(owner, `${home}/devices`), 'devices')),
    token: (await newToken(ask, ['read'])).id,
    invitation: await invite(),
    request: await joinRequest(registry, people, home),
  }
  return { ids, invite }
}

/** Of a device that the member lets in, and that waits for the owner. */
async function joinRequest(
  registry: TestRegistry,
  { owner, member }: { readonly owner: Browser; readonly member: Browser },
  home: string,
): Promise<string> {
  const changed = await withSession(owner)('PATCH', home, { approvalRequired: true })
  assert.ok(changed.status < 300, `${changed.status}`)
  const { user_code } = await clientOf(registry).authorize(newApplicant('phone'))
  const organization = home.split('/').at(-1) ?? ''
  const page = await member.submit('/device', { user_code, organization, decision: 'approve' })
  assert.is(page.status, 200, page.text)
  return idOf(firstOf(await read(owner, `${home}/join-requests`), 'joinRequests'))
}

async function made(ask: Ask, path: string, body: object): Promise<Json> {
  const { status, json } = await ask('POST', path, body)
  assert.ok(status < 300, `${path}: ${status} ${JSON.stringify(json)}`)
  return json
}

async function read(browser: Browser, path: string): Promise<Json> {
  return (await withSession(browser)('GET', path)).json
}

function firstOf(json: Json, list: string): Json {
  const [first] = json[list] as Json[]
  assert.ok(first, `no ${list}`)
  return first ?? {}
}

function idOf({ id }: Json): string {
  assert.type(id, 'string')
  return String(id)
}
