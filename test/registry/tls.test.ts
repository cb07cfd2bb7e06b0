// time limit: 120 s
import { execFileSync } from 'node:child_process'
import { copyFile, writeFile } from 'node:fs/promises'
import { request } from 'node:https'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { registryCommand } from '../../registry/command-line.ts'
import { ConfigError } from '../../registry/config.ts'
import { startHttpServer } from '../../registry/http-server.ts'
import { systemClock } from '../../registry/system-clock.ts'
import { needs } from '../support/needs.ts'
import { startTestRegistry, temporaryDirectory } from '../support/registry.ts'

needs('openssl')

const rule = suite('TLS by files')

interface Pair {
  readonly cert: string
  readonly key: string
}

/** A self-signed certificate of `name`. */
function certificate(directory: string, name: string): Pair {
  const pair = { cert: join(directory, `${name}.pem`), key: join(directory, `${name}.key`) }
  const argv = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '2']
  const files = ['-out', pair.cert, '-keyout', pair.key]
  execFileSync('openssl', [...argv, ...subject, ...files], { stdio: 'ignore' })
  return pair
}

/** The common name that the server shows, and its answer. */
function ask(url: string): Promise<{ name: string; status: number; sts: string | undefined }> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { rejectUnauthorized: false, agent: false }, (response) => {
      response.resume()
      const { socket } = response as unknown as {
        socket: { getPeerCertificate(): { subject: { CN: string } } }
      }
      const sts = response.headers['strict-transport-security']
      resolve({
        name: socket.getPeerCertificate().subject.CN,
        status: response.statusCode ?? 0,
        sts,
      })
    })
    asked.on('error', reject).end()
  })
}

rule('serves https, with a cookie that only https carries', async () => {
  const directory = await temporaryDirectory()
  const tls = certificate(directory, 'first')
  await using registry = await startTestRegistry({ tls })
  assert.match(registry.url, /^https:/)
  const { name, status, sts } = await ask(`${registry.url}/healthz`)
  assert.equal([name, status], ['first', 200])
  assert.match(sts ?? '', 'max-age')
  const local = await fetch(`${registry.localUrl}/oidc/.well-known/openid-configuration`)
  assert.is(((await local.json()) as { issuer: string }).issuer, `${registry.url}/oidc`)
})

rule(
  'shows a renewed certificate without a restart, and keeps the old one while files are wrong',
  async () => {
    const directory = await temporaryDirectory()
    const first = certificate(directory, 'first')
    const second = certificate(directory, 'second')
    const tls = { cert: join(directory, 'tls.pem'), key: join(directory, 'tls.key') }
    const install = async ({ cert, key }: Pair) => {
      await copyFile(cert, tls.cert)
      await copyFile(key, tls.key)
    }
    await install(first)
    let look: () => void = () => undefined
    const logged: string[] = []
    const clock = {
      ...systemClock,
      every(_ms: number, task: () => void) {
        look = task
        return { cancel: () => undefined }
      },
    }
    const log = (_level: string, event: string) => void logged.push(event)
    const listen = { host: '127.0.0.1', port: 0 }
    await using server = await startHttpServer(listen, { clock, log }, { tls })
    server.answerWith((_request, response) => void response.end())
    const url = `https://127.0.0.1:${server.address.port}/`
    const until = async (event: string) => {
      look()
      while (logged.at(-1) !== event) await new Promise((resolve) => setTimeout(resolve, 10))
    }
    await writeFile(tls.cert, 'half a certif')
    await until('tls.reload-failed')
    assert.is((await ask(url)).name, 'first')
    await copyFile(second.cert, tls.cert)
    look()
    await new Promise((resolve) => setTimeout(resolve, 100))
    assert.is((await ask(url)).name, 'first')
    await install(second)
    await until('tls.reloaded')
    assert.is((await ask(url)).name, 'second')
  },
)

rule('does not start with files that are no certificate and its key', async () => {
  const directory = await temporaryDirectory()
  const first = certificate(directory, 'first')
  const second = certificate(directory, 'second')
  const cases: [Pair, RegExp][] = [
    [
      { cert: join(directory, 'none'), key: first.key },
      /--tls-cert .*none: cannot be read \(ENOENT/,
    ],
    [{ cert: first.cert, key: join(directory, 'none') }, /--tls-key .*none: cannot be read/],
    [{ cert: first.key, key: first.key }, /no PEM certificate/],
    [{ cert: first.cert, key: second.key }, /no PEM certificate and the key that goes with it/],
  ]
  for (const [tls, message] of cases) {
    const refused = await startTestRegistry({ tls }).catch((error: unknown) => error)
    assert.instance(refused, ConfigError)
    assert.match((refused as Error).message, message)
  }
})

rule('one of both options is not enough', async () => {
  for (const [argv, message] of [
    [['--tls-cert', 'x'], '--tls-cert needs --tls-key'],
    [['--tls-key', 'x'], '--tls-key needs --tls-cert'],
  ] as const) {
    const command = registryCommand(
      '1',
      async () => undefined,
      () => undefined,
    )
    const refused = await command
      .parseAsync(argv, { from: 'user' })
      .catch((error: unknown) => error)
    assert.is((refused as Error).message, message)
  }
})

rule.run()
