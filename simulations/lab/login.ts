/** A browser made of fetch and a cookie jar: sets up users, signs in, approves devices, as a person does. */

/** As `fetch`, on one registry, with its cookies; redirects are followed as a browser does. */
export interface Browser {
  readonly baseUrl: string
  /** The page at the end of the redirects. `path` may be a whole URL of the registry, or of its provider. */
  open(path: string): Promise<BrowserPage>
  /** Sends a form as the browser sends one of the registry's own pages. */
  submit(path: string, fields: Readonly<Record<string, string>>): Promise<BrowserPage>
  /** The value of a cookie it holds, with or without the prefix `__Host-`. */
  cookie(name: string): string | undefined
  /** Puts a cookie in as if the registry had set it. */
  plant(name: string, value: string): void
  /** The same requests with the cookies, for what a page does not do; no redirect is followed. */
  fetch(path: string, init?: RequestInit): Promise<Response>
}

export interface BrowserPage {
  readonly url: URL
  readonly status: number
  readonly text: string
}

export interface Credentials {
  readonly email: string
  readonly password: string
}

const MAX_REDIRECTS = 12

interface Cookie {
  readonly host: string
  readonly name: string
  readonly value: string
  readonly path: string
}

/** Cookies by host, name and path (RFC 6265 §5.3, as far as one registry needs it). */
function cookieJar() {
  const cookies = new Map<string, Cookie>()
  return {
    take(url: URL, response: Response): void {
      for (const line of response.headers.getSetCookie()) {
        const [pair = '', ...attributes] = line.split(';').map((part) => part.trim())
        const at = pair.indexOf('=')
        const attribute = (name: string) =>
          attributes
            .find((each) => each.toLowerCase().startsWith(`${name}=`))
            ?.slice(name.length + 1)
        const name = pair.slice(0, at)
        const value = pair.slice(at + 1)
        const path = attribute('path') ?? '/'
        const cookie = { host: url.host, name, value, path }
        const expires = Date.parse(attribute('expires') ?? '')
        if (attribute('max-age') === '0' || expires <= Date.now()) cookies.delete(keyOf(cookie))
        else cookies.set(keyOf(cookie), cookie)
      }
    },
    set: (cookie: Cookie) => void cookies.set(keyOf(cookie), cookie),
    value: (wanted: string) =>
      [...cookies.values()].find(({ name }) => name === wanted || name === `__Host-${wanted}`)
        ?.value,
    header(url: URL): string {
      return [...cookies.values()]
        .filter(({ host, path }) => host === url.host && isUnder(url.pathname, path))
        .map(({ name, value }) => `${name}=${value}`)
        .join('; ')
    },
  }
}

function keyOf({ host, name, path }: Cookie): string {
  return `${host} ${name} ${path}`
}

function isUnder(pathname: string, path: string): boolean {
  return pathname === path || pathname.startsWith(path.endsWith('/') ? path : `${path}/`)
}

export function openBrowser(baseUrl: string): Browser {
  const jar = cookieJar()
  const origin = new URL(baseUrl).origin
  const request = async (url: URL, init: RequestInit = {}): Promise<Response> => {
    const headers = new Headers(init.headers)
    const cookie = jar.header(url)
    if (cookie !== '' && !headers.has('cookie')) headers.set('cookie', cookie)
    if (!headers.has('accept')) headers.set('accept', 'text/html')
    const response = await fetch(url, { ...init, headers, redirect: 'manual' })
    jar.take(url, response)
    return response
  }
  const follow = async (start: URL, init?: RequestInit): Promise<BrowserPage> => {
    let url = start
    let response = await request(url, init)
    for (let count = 0; response.status >= 300 && response.status < 400; count++) {
      const location = response.headers.get('location')
      if (location === null || count === MAX_REDIRECTS) {
        throw new Error(`${url.href}: redirects to nowhere or for ever`)
      }
      await response.body?.cancel()
      url = new URL(location, url)
      response = await request(url)
    }
    return { url, status: response.status, text: await response.text() }
  }
  return {
    baseUrl: origin,
    open: (path) => follow(new URL(path, origin)),
    submit: (path, fields) => {
      const url = new URL(path, origin)
      return follow(url, {
        method: 'POST',
        headers: { origin: url.origin },
        body: new URLSearchParams(fields),
      })
    },
    cookie: (name) => jar.value(name),
    plant: (name, value) => jar.set({ host: new URL(origin).host, name, value, path: '/' }),
    fetch: (path, init) => request(new URL(path, origin), init),
  }
}

/** Uses a set-up link: afterwards `credentials` can sign in. Throws with what the page says. */
export async function completeSetup(setupUrl: string, credentials: Credentials): Promise<void> {
  const browser = openBrowser(setupUrl)
  const page = await browser.submit(new URL(setupUrl).pathname, { ...credentials })
  if (page.status !== 200 || !page.url.pathname.startsWith('/login/')) {
    throw new Error(`set-up failed: ${messageOf(page)}`)
  }
}

/** Signs in with the embedded provider; the browser then holds the session. Throws with what the page says. */
export async function loginByHttp(baseUrl: string, credentials: Credentials): Promise<Browser> {
  const browser = openBrowser(baseUrl)
  const page = await signIn(browser, await browser.open('/login'), credentials)
  if (page.status !== 200 || page.url.pathname !== '/') {
    throw new Error(`sign-in failed: ${messageOf(page)}`)
  }
  return browser
}

/** Fills in the login form of `form`; the page that follows. */
export async function signIn(
  browser: Browser,
  form: BrowserPage,
  { email, password }: Credentials,
): Promise<BrowserPage> {
  const action = /<form method="post" action="(\/login\/[\w-]+)"/.exec(form.text)?.[1]
  if (action === undefined) throw new Error(`no login form: ${messageOf(form)}`)
  return browser.submit(action, { email, password })
}

/** Opens the link that a device shows and approves it, into the user's first organization unless one is
 *  named. Throws with what the page says. */
export async function approveDevice(
  browser: Browser,
  verificationUriComplete: string,
  organization?: string,
): Promise<void> {
  const page = await browser.open(verificationUriComplete)
  const code = /name="user_code" value="([A-Z0-9-]+)"/.exec(page.text)?.[1]
  const first = /<option value="([a-z2-7]{26})"/.exec(page.text)?.[1]
  if (code === undefined || first === undefined) {
    throw new Error(`no device to approve at ${verificationUriComplete}: ${messageOf(page)}`)
  }
  const wanted = { user_code: code, organization: organization ?? first, decision: 'approve' }
  const answer = await browser.submit('/device', wanted)
  if (!answer.text.includes('<h1>Approved</h1>')) {
    throw new Error(`not approved: ${messageOf(answer)}`)
  }
}

/** The ids of the user's organizations, as the start page lists them. */
export async function organizationsOf(browser: Browser): Promise<readonly string[]> {
  const { text } = await browser.open('/')
  return [...text.matchAll(/href="\/organizations\/([a-z2-7]{26})"/g)].flatMap(([, id]) => id ?? [])
}

/** Makes an invitation as the first user; the set-up link to give away. */
export async function inviteUser(browser: Browser): Promise<string> {
  const page = await browser.submit('/users/invitations', {})
  const url = /https?:[^<\s"]+\/setup\/[\w-]+/.exec(page.text)?.[0]
  if (url === undefined) throw new Error(`no invitation: ${messageOf(page)}`)
  return url
}

/** What a page says to a person. */
export function messageOf({ status, url, text }: BrowserPage): string {
  const words = text
    .replace(/^.*<main/s, '<main')
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ')
  return `${status} at ${url.pathname}:${words.slice(0, 300)}`
}
