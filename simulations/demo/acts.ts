/** Acts: the steps of the demonstration, one after another. */

import { setTimeout as sleep } from 'node:timers/promises'
import { OperatorError } from '../../agent/errors.ts'
import { type Fetched, fetchByProxy, fetchFromPort } from './fetch.ts'
import { HEADING, NAMES, type Name, type Stage } from './stage.ts'
import { readWire, tapped } from './wire.ts'

/** Of the web page at the device `server`. */
export const PAGE_URL = 'http://server/'

/** Between two tries. Milliseconds. */
const PAUSE_MS = 100

export interface Act {
  /** What is being done. */
  readonly doing: string
  /** Whose log tells more where it fails. */
  readonly by: readonly string[]
  /** Gives what is told once it is done. */
  play(stage: Stage): Promise<string>
}

export const ACTS: readonly Act[] = [
  {
    doing: 'starting the registry, which knows who belongs',
    by: ['registry'],
    play: async (stage) => {
      await stage.startRegistry()
      return `the registry, which knows who belongs, runs at ${stage.registryUrl}`
    },
  },
  {
    doing: 'Ada signs in at the registry',
    by: ['registry'],
    play: async (stage) => {
      await stage.signIn()
      return 'Ada, its first user, has set a password and signed in'
    },
  },
  {
    doing: `starting three devices: ${NAMES.join(', ')}`,
    by: NAMES,
    play: async (stage) => {
      stage.startDevices()
      await Promise.all(NAMES.map((name) => stage.device(name).link()))
      return 'three devices run: server, laptop, phone; each asks Ada to let it in'
    },
  },
  {
    doing: 'Ada approves the devices',
    by: ['registry', ...NAMES],
    play: async (stage) => {
      for (const name of NAMES) await stage.approve(name)
      await Promise.all(NAMES.map((name) => stage.device(name).started()))
      const members = NAMES.map(
        async (name) => `  ${name.padEnd(8)}${await stage.device(name).address()}`,
      )
      return [
        'Ada has approved them; in the private network they are',
        ...(await Promise.all(members)),
      ].join('\n')
    },
  },
  {
    doing: 'publishing a web page on server',
    by: ['page', 'server'],
    play: async (stage) => {
      const port = await stage.servePage()
      await stage.device('server').nexctl('expose', `${port}`, '--as', '80')
      return `server publishes a web page to them: nexctl expose ${port} --as 80`
    },
  },
  {
    doing: 'laptop and server look for a direct way to each other',
    by: ['laptop', 'server'],
    play: async (stage) => {
      await untilTrue(() => isDirect(stage, 'laptop'))
      const server = await stage.device('laptop').peer('server')
      return `laptop has found the direct way to server: ${server?.endpoint}`
    },
  },
  {
    doing: `laptop fetches ${PAGE_URL}`,
    by: ['laptop', 'server', 'page'],
    play: fetchWatched,
  },
  {
    doing: 'killing the registry',
    by: ['registry'],
    play: async (stage) => {
      await stage.process('registry').stop('SIGKILL')
      return 'the registry is killed'
    },
  },
  {
    doing: `laptop fetches ${PAGE_URL} again`,
    by: ['laptop', 'server', 'page'],
    play: async (stage) => {
      const page = checked(await fetchByProxy(stage.ports.proxy, PAGE_URL))
      return `laptop fetches it again, in ${Math.round(page.ms)} ms`
    },
  },
  {
    doing: 'phone fetches it for the first time',
    by: ['phone', 'server', 'page'],
    play: async (stage) => {
      const page = await untilFetched(() => fetchFromPort(stage.ports.egress))
      return `phone fetches it for the first time, with no registry to ask, in ${Math.round(page.ms)} ms`
    },
  },
  {
    doing: 'laptop stops, starts and fetches it again',
    by: ['laptop', 'server', 'page'],
    play: async (stage) => {
      await stage.device('laptop').restart()
      const page = await untilFetched(() => fetchByProxy(stage.ports.proxy, PAGE_URL))
      return `laptop stops, starts with no registry, and fetches it in ${Math.round(page.ms)} ms`
    },
  },
]

/** With a look at what leaves laptop and server meanwhile. */
async function fetchWatched(stage: Stage): Promise<string> {
  const devices = [stage.device('laptop'), stage.device('server')]
  const before = await Promise.all(devices.map(({ tap }) => tapped(tap)))
  const page = checked(await fetchByProxy(stage.ports.proxy, PAGE_URL))
  const path = (await stage.device('laptop').peer('server'))?.path
  const secrets = [HEADING, '<!doctype html>', 'HTTP/1.1']
  const wires = await Promise.all(
    devices.map(({ tap }, index) => readWire(tap, before[index] ?? 0, secrets)),
  )
  const sum = (of: 'data' | 'readable'): number =>
    wires.reduce((total, wire) => total + wire[of], 0)
  if (sum('data') === 0) throw new Error('no packet of WireGuard carried it')
  if (sum('readable') > 0) throw new Error(`${sum('readable')} packets show the page as it is`)
  return [
    `laptop fetches ${PAGE_URL} in ${Math.round(page.ms)} ms`,
    `  it says “${/<h1>(.*)<\/h1>/.exec(page.text)?.[1]}”`,
    `  server is ${await stage.device('server').address()}; the path is ${path}`,
    `  ${sum('data')} encrypted packets went between them; none shows a word of the page`,
  ].join('\n')
}

async function isDirect(stage: Stage, from: Name): Promise<boolean> {
  const device = stage.device(from)
  return (await device.pings('server')) && (await device.peer('server'))?.path === 'direct'
}

/** A daemon that does not answer yet, or does not know yet, is asked again. */
async function untilTrue(isSo: () => Promise<boolean>): Promise<void> {
  for (;;) {
    try {
      if (await isSo()) return
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error
    }
    await sleep(PAUSE_MS)
  }
}

/** A listener that is not there yet, and a device that is still sought, are asked again. */
async function untilFetched(fetchPage: () => Promise<Fetched>): Promise<Fetched> {
  for (;;) {
    try {
      const page = await fetchPage()
      if (page.status === 200) return checked(page)
    } catch (error) {
      if (!(error instanceof Error && 'code' in error)) throw error
    }
    await sleep(PAUSE_MS)
  }
}

/** Throws unless it is the page. */
function checked(page: Fetched): Fetched {
  if (page.status === 200 && page.text.includes(HEADING)) return page
  throw new Error(`not the page, but status ${page.status}: ${page.text.slice(0, 200)}`)
}

/** What a person can try while everything stays up. */
export function invitation(stage: Stage): string {
  const nexctl = `npm run --silent nexctl -- --socket ${stage.device('laptop').socket}`
  const { email, password } = stage.credentials
  return `
Everything stays up until Ctrl-C. To try:

the web page, as phone sees it, in your browser
  http://127.0.0.1:${stage.ports.egress}/
the same as laptop, by any program
  curl --proxy http://127.0.0.1:${stage.ports.proxy} ${PAGE_URL}
how laptop reaches the others
  ${nexctl} peers list
what the registry knows: sign in as ${email}, password ${password}
  ${stage.registryUrl}/
`
}

export const RESTART: Act = {
  doing: 'starting the registry again',
  by: ['registry'],
  play: async (stage) => {
    await stage.startRegistry()
    return 'the registry is started again, to look at'
  },
}
