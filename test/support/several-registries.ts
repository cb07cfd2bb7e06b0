/** Several registries of one etcd cluster, in this process, each with a state directory of its own. */
import { join } from 'node:path'
import { randomBytes } from '../../crypto/random.ts'
import { makeKeyEncryptionKey } from '../../registry/key-encryption-key.ts'
import { parseStoreLocation } from '../../registry/store/location.ts'
import { type Browser, openBrowser, organizationsOf } from '../../simulations/lab/login.ts'
import type { Cluster } from './etcd.ts'
import { startTestRegistry, type TestRegistry, temporaryDirectory } from './registry.ts'

export async function startRegistries(cluster: Cluster, prefix: string, count: number) {
  const opened = new AsyncDisposableStack()
  const keyEncryptionKeyFile = join(await temporaryDirectory(), 'sealing.key')
  await makeKeyEncryptionKey(keyEncryptionKeyFile, randomBytes)
  const store = parseStoreLocation(cluster.location(prefix))
  const start = async () => opened.use(await startTestRegistry({ store, keyEncryptionKeyFile }))
  const registries: TestRegistry[] = []
  const [first] = [await start()]
  // Before the others: each makes a link for the first user, and the last one holds.
  const ada = await first.ada()
  registries.push(first)
  for (let at = 1; at < count; at++) registries.push(await start())
  const [organization = ''] = await organizationsOf(ada)
  return {
    ...{ first, registries, ada, organization, start },
    /** Ada's session at another registry: as a browser that a balancer sends there. */
    adaAt: (registry: TestRegistry): Browser => {
      const browser = openBrowser(registry.url)
      browser.plant('nexodus-session', ada.cookie('nexodus-session') ?? '')
      return browser
    },
    async registrationKey(registry = first): Promise<string> {
      const browser = this.adaAt(registry)
      const path = `/v1/organizations/${organization}/registration-keys`
      const response = await browser.fetch(path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', origin: registry.url },
        body: JSON.stringify({ description: 'test', singleUse: false }),
      })
      const made: unknown = await response.json()
      if (made !== null && typeof made === 'object' && 'key' in made) return String(made.key)
      throw new Error(`no registration key: ${response.status}`)
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  }
}

export type Registries = Awaited<ReturnType<typeof startRegistries>>
