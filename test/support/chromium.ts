/** Chromium from Debian without a window, and what it complains of. */
import { mkdir } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { type Browser, chromium, type Page } from 'playwright-core'

/** Milliseconds that a step may take on a machine with much else to do. */
export const SLOW_MS = 120_000

const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js')

interface AxeResults {
  readonly violations: readonly {
    readonly id: string
    readonly nodes: readonly { readonly html: string }[]
  }[]
}

export function launchChromium(): Promise<Browser> {
  return chromium.launch({
    executablePath: '/usr/bin/chromium',
    timeout: SLOW_MS,
    args: [
      ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
      ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
    ],
  })
}

/** What the browser complains of from now on, but the status of answers. */
export function complaintsOf(page: Page): string[] {
  const complaints: string[] = []
  page.on('console', (message) => {
    const isStatus = message.text().includes('the server responded with a status')
    if (message.type() === 'error' && !isStatus) complaints.push(message.text())
  })
  page.on('pageerror', (error) => void complaints.push(error.message))
  return complaints
}

/** Keeps pictures of a page where NEXODUS_SCREENSHOTS says, to be looked at; takes none without. */
export async function picturing(page: Page): Promise<(name: string) => Promise<void>> {
  const pictures = process.env['NEXODUS_SCREENSHOTS']
  if (pictures === undefined) return async () => undefined
  await mkdir(pictures, { recursive: true })
  return async (name) => {
    await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true })
  }
}

/** What the browser complains of, and what axe-core finds at each look; a look is kept as a picture. The page's own
 *  policy would keep axe-core out: its context bypasses it. */
export async function looking(page: Page) {
  const complaints = complaintsOf(page)
  const picture = await picturing(page)
  const look = async (name: string) => {
    await picture(name)
    await page.addScriptTag({ path: axe }).catch(() => undefined)
    const { violations } = (await page.evaluate('axe.run()')) as AxeResults
    complaints.push(...violations.map(({ id, nodes }) => `${name}: ${id} at ${nodes[0]?.html}`))
  }
  return { complaints, look }
}

export const WIDE = { width: 1180, height: 760 }
export const PHONE = { width: 390, height: 800 }

/** As `looking`, and each look is at the page as everybody may see it: light and dark, wide and on a phone, where it
 *  must not be wider than the screen and what is touched must be large enough. Wide and light again afterwards. */
export async function lookingAround(page: Page) {
  const { complaints, look } = await looking(page)
  const picture = await picturing(page)
  const complain = async (name: string, rules: string) => {
    const { violations } = (await page.evaluate(`axe.run({ runOnly: [${rules}] })`)) as AxeResults
    complaints.push(...violations.map(({ id, nodes }) => `${name}: ${id} at ${nodes[0]?.html}`))
  }
  const lookAround = async (name: string) => {
    await look(name)
    await page.emulateMedia({ colorScheme: 'dark' })
    await complain(`${name}, dark`, "'color-contrast'")
    await page.setViewportSize(PHONE)
    await picture(`${name}-phone`)
    await complain(`${name}, on a phone`, "'target-size'")
    const wide = Number(await page.evaluate('document.documentElement.scrollWidth'))
    if (wide > PHONE.width) complaints.push(`${name} is ${wide} px wide on a phone`)
    await page.emulateMedia({ colorScheme: 'light' })
    await page.setViewportSize(WIDE)
  }
  return { complaints, lookAround }
}
