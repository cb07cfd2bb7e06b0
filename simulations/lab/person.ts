/** A person at a browser inside the laboratory: its requests leave from a namespace, as they would from a
 *  laptop there. Started as a process of that namespace; one JSON line in, one out. */
import { createInterface } from 'node:readline'
import {
  approveDevice,
  type Browser,
  completeSetup,
  inviteUser,
  loginByHttp,
  organizationsOf,
} from './login.ts'

/** What the person is asked to do. */
export type Errand =
  | {
      readonly kind: 'set-up'
      readonly url: string
      readonly email: string
      readonly password: string
    }
  | {
      readonly kind: 'sign-in'
      readonly url: string
      readonly email: string
      readonly password: string
    }
  | { readonly kind: 'invite' }
  | { readonly kind: 'approve'; readonly link: string }
  | { readonly kind: 'organizations' }
  | {
      readonly kind: 'call'
      readonly method: string
      readonly path: string
      readonly body?: unknown
    }

async function run(
  browser: Browser | undefined,
  errand: Errand,
): Promise<{ browser?: Browser; answer: unknown }> {
  if (errand.kind === 'set-up') {
    await completeSetup(errand.url, errand)
    return { answer: true }
  }
  if (errand.kind === 'sign-in')
    return { browser: await loginByHttp(errand.url, errand), answer: true }
  if (browser === undefined) throw new Error('sign in first')
  return { answer: await signedIn(browser, errand) }
}

async function signedIn(
  browser: Browser,
  errand: Exclude<Errand, { kind: 'set-up' | 'sign-in' }>,
): Promise<unknown> {
  switch (errand.kind) {
    case 'invite':
      return inviteUser(browser)
    case 'approve':
      await approveDevice(browser, errand.link)
      return true
    case 'organizations':
      return organizationsOf(browser)
    case 'call':
      return call(browser, errand)
  }
}

async function call(
  browser: Browser,
  { method, path, body }: Errand & { kind: 'call' },
): Promise<unknown> {
  const response = await browser.fetch(path, {
    method,
    headers: {
      'content-type': 'application/json',
      accept: 'application/json',
      origin: browser.baseUrl,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  if (!response.ok)
    throw new Error(`${method} ${path}: status ${response.status}: ${text.slice(0, 300)}`)
  return text === '' ? null : JSON.parse(text)
}

let browser: Browser | undefined
for await (const line of createInterface({ input: process.stdin })) {
  try {
    const done = await run(browser, JSON.parse(line) as Errand)
    browser = done.browser ?? browser
    process.stdout.write(`${JSON.stringify({ answer: done.answer })}\n`)
  } catch (error) {
    process.stdout.write(
      `${JSON.stringify({ error: error instanceof Error ? error.message : String(error) })}\n`,
    )
  }
}
