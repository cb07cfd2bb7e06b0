/** A registry with OpenID providers of a test. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { IssuerConfig } from '../../registry/config.ts'
import { ISSUER_CLIENT, type IssuerHabits } from './oidc-issuer.ts'
import { freePort, startTestRegistry, type TestRegistry, temporaryDirectory } from './registry.ts'

export interface WantedIssuer {
  readonly rules?: Partial<IssuerConfig>
  readonly habits?: IssuerHabits
}

/** A registry whose users sign in at these, each a process of its own. */
export async function withIssuers(
  wanted: readonly WantedIssuer[],
  body: (registry: TestRegistry, urls: readonly string[]) => Promise<void>,
): Promise<void> {
  const clientSecretFile = join(await temporaryDirectory(), 'secret')
  await writeFile(clientSecretFile, ISSUER_CLIENT.secret)
  const ports = await Promise.all([freePort(), ...wanted.map(() => freePort())])
  const [port = 0, ...issuerPorts] = ports
  const urls = issuerPorts.map((each) => `http://127.0.0.1:${each}`)
  await using registry = await startTestRegistry({
    listen: { host: '127.0.0.1', port },
    issuers: wanted.map(({ rules }, at) => ({
      url: new URL(urls[at] ?? ''),
      clientId: ISSUER_CLIENT.id,
      clientSecretFile,
      clientAuthentication: 'client_secret_post',
      scopes: 'openid email groups',
      ...rules,
    })),
  })
  const started: ChildProcess[] = []
  try {
    for (const [at, { habits = {} }] of wanted.entries()) {
      const script = fileURLToPath(new URL('oidc-issuer.ts', import.meta.url))
      const redirect = `${registry.url}/auth/callback`
      const args = [String(issuerPorts[at]), redirect, 'client_secret_post', JSON.stringify(habits)]
      const child = spawn(process.execPath, [script, ...args], {
        stdio: ['ignore', 'pipe', 'ignore'],
      })
      started.push(child)
      await once(child.stdout, 'data')
    }
    await body(registry, urls)
  } finally {
    for (const child of started) child.kill('SIGKILL')
  }
}
