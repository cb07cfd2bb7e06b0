/** A server as a process of its own, asked by many connections; what it costs is its own processor time. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { createInterface } from 'node:readline'

/** Of Linux's /proc, everywhere that Node runs. */
const TICKS_PER_SECOND = 100

export interface Server extends AsyncDisposable {
  readonly url: string
  /** Lines of its standard output so far. */
  readonly lines: readonly string[]
  /** Seconds of processor time since its start. */
  cpuSeconds(): number
}

/** @param isReady whether a line of its standard output tells that it answers; the URL in it is the server's */
export async function startServer(
  script: URL,
  argv: readonly string[],
  isReady: (lines: readonly string[]) => boolean,
): Promise<Server> {
  const child = spawn(process.execPath, [script.pathname, ...argv], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines: string[] = []
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line)
    if (isReady(lines)) break
  }
  const url = /http:\/\/[\d.:]+/.exec(lines.join('\n'))?.[0]
  if (url === undefined) throw new Error(`${script.pathname} did not start: ${lines.join('\n')}`)
  return {
    url,
    lines,
    cpuSeconds: () => cpuSecondsOf(child),
    async [Symbol.asyncDispose]() {
      const ended = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGTERM')
      await ended
    },
  }
}

/** utime and stime of proc(5)'s /proc/<pid>/stat; the command before them may hold spaces. */
function cpuSecondsOf({ pid }: ChildProcess): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

export interface Asked {
  readonly method: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

export interface Figures {
  readonly count: number
  readonly seconds: number
  readonly cpuSeconds: number
  readonly bytes: number
}

let asker = 0

/** Asks everything once, over so many connections; throws on an answer that is not 2xx. Each request says that it
 *  comes from an address of its own, so that the limits of one client are not what is measured. */
export async function load(
  server: Server,
  all: readonly Asked[],
  connections: number,
): Promise<Figures> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const before = server.cpuSeconds()
  const began = performance.now()
  let next = 0
  let bytes = 0
  const work = async () => {
    for (let asked = all[next++]; asked !== undefined; asked = all[next++]) {
      const answered = await ask(server.url, asked, agent)
      bytes += answered
    }
  }
  await Promise.all(Array.from({ length: connections }, work))
  const seconds = (performance.now() - began) / 1000
  const cpuSeconds = server.cpuSeconds() - before
  agent.destroy()
  return { count: all.length, seconds, cpuSeconds, bytes }
}

function ask(url: string, asked: Asked, agent: Agent): Promise<number> {
  const { method, path, headers, body } = asked
  asker++
  const from = `10.${(asker >> 16) & 255}.${(asker >> 8) & 255}.${asker & 255}`
  const options = {
    method,
    agent,
    headers: {
      'x-forwarded-for': from,
      ...(body !== undefined && {
        'content-type': 'application/json',
        'content-length': body.length,
      }),
      ...headers,
    },
  }
  return new Promise((resolve, reject) => {
    const sent = request(new URL(path, url), options, (response) => {
      let text = ''
      response.on('data', (data) => {
        text += String(data)
      })
      response.on('end', () => {
        const status = response.statusCode ?? 0
        if (status >= 200 && status < 300) resolve(text.length)
        else reject(new Error(`${method} ${path}: ${status} ${text}`))
      })
    })
    sent.on('error', (error) => {
      // The server had closed the idle connection just then: it has not seen the request.
      const isStale = sent.reusedSocket && 'code' in error && error.code === 'ECONNRESET'
      if (isStale) resolve(ask(url, asked, agent))
      else reject(new Error(`${method} ${path}`, { cause: error }))
    })
    sent.end(body)
  })
}
