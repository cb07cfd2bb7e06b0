/** A registry in this process and one Chromium: Ada's organization Acme with Bob as a member, each at their own window. */
import * as assert from 'uvu/assert'
import { type Browser, completeSetup, loginByHttp } from '../../simulations/lab/login.ts'
import { type Ask, type Json, withSession } from './api.ts'
import { clientOf, newApplicant } from './applicant.ts'
import { launchChromium, lookingAround, SLOW_MS, WIDE } from './chromium.ts'
import { BOB, startTestRegistry, type TestRegistry } from './registry.ts'

export type WebScene = Awaited<ReturnType<typeof webScene>>

export async function webScene() {
  const opened = new AsyncDisposableStack()
  const registry = opened.use(await startTestRegistry({ trustedProxies: ['127.0.0.1'] }))
  const chromium = await launchChromium()
  opened.defer(() => chromium.close())
  const [ada, bob] = await twoOf(registry)
  const { id: organization } = await made(withSession(ada), '/organizations', { name: 'Acme' })
  const acme = `/organizations/${organization}`
  await joins(withSession(ada), withSession(bob), acme)
  const complaints: (() => readonly string[])[] = []
  const asked = new Set<string>()

  /** Their window, signed in; nobody’s is signed out. */
  const windowOf = async (person?: Browser) => {
    const context = await chromium.newContext({ viewport: WIDE, bypassCSP: true })
    context.setDefaultTimeout(SLOW_MS)
    const name = 'nexodus-session'
    const value = person?.cookie(name)
    if (value !== undefined) await context.addCookies([{ name, value, url: registry.url }])
    context.on('request', (request) => {
      asked.add(`${request.method()} ${new URL(request.url()).pathname}`)
    })
    const page = await context.newPage()
    const { complaints: told, lookAround } = await lookingAround(page)
    complaints.push(() => told)
    return { page, look: lookAround, open: (path: string) => page.goto(`${registry.url}${path}`) }
  }
  return {
    ...{ registry, ada, bob, acme, asked, windowOf },
    ...{ asAda: withSession(ada), asBob: withSession(bob) },
    organization: String(organization),
    complaints: () => complaints.flatMap((each) => each()),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  }
}

/** Bob by a link for his address, which counts as verified. */
async function twoOf(registry: TestRegistry) {
  const ada = await registry.ada()
  const { text } = await ada.submit('/users/invitations', { email: BOB.email })
  await completeSetup(/https?:[^<\s"]+\/setup\/[\w-]+/.exec(text)?.[0] ?? '', BOB)
  return [ada, await loginByHttp(registry.url, BOB)] as const
}

/** By a link, which nobody else can use any more. */
export async function joins(owner: Ask, member: Ask, home: string): Promise<void> {
  const { link } = await made(owner, `${home}/invitations`, { role: 'member' })
  await made(member, '/invitation-links', { secret: String(link).split('/').at(-1) })
}

export async function made(ask: Ask, path: string, body: object): Promise<Json> {
  const { status, json } = await ask('POST', path, body)
  assert.ok(status < 300, `${path}: ${status} ${JSON.stringify(json)}`)
  return json
}

export async function listed(ask: Ask, path: string, name: string): Promise<readonly Json[]> {
  const { json } = await ask('GET', path)
  return (json[name] ?? []) as readonly Json[]
}

/** A device of who asks, let in by a registration key. */
export async function enrolled(
  { registry, acme }: Pick<WebScene, 'registry' | 'acme'>,
  by: Ask,
  name: string,
): Promise<string> {
  const { key } = await made(by, `${acme}/registration-keys`, { description: name })
  await clientOf(registry).enrol(newApplicant(name, 'Debian 12 (x64)'), {
    registrationKey: String(key),
  })
  const devices = await listed(by, `${acme}/devices`, 'devices')
  return String(devices.find((each) => each['name'] === name)?.['id'])
}
