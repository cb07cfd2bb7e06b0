// time limit: 300 s
/** Where a process has no capability and can't make a user namespace either, as in most containers: agents start, find
 *  each other, and a service that one exposes is fetched through the mesh, with the registry and without. */
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmod, readFile, readlink } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import { PEERS, STATUS } from '../../../agent/control/reports.ts'
import { organizationsOf } from '../../../simulations/lab/login.ts'
import { startTestRegistry, temporaryDirectory } from '../../support/registry.ts'
import { UNPRIVILEGED, withoutUserNamespaces } from '../../support/unprivileged.ts'
import { type ProxyDaemon, startProxyDaemon } from './proxy-daemon.ts'
import { freePort } from './two-proxies.ts'

const rule = suite('nexd without capabilities and user namespaces')
const registry = await startTestRegistry()
const ada = await registry.ada()
const folder = await temporaryDirectory()
await chmod(folder, 0o755)
const server = createServer((_asked, response) => response.end('x'.repeat(1_000_000)))
server.listen(0, '127.0.0.1')
await once(server, 'listening')
const { port: service } = server.address() as AddressInfo
const egress = await freePort()
let near: ProxyDaemon
let far: ProxyDaemon

async function start(name: string, ...proxy: readonly string[]): Promise<ProxyDaemon> {
  const [organization = ''] = await organizationsOf(ada)
  const made = await ada.fetch(`/v1/organizations/${organization}/registration-keys`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: registry.url },
    body: JSON.stringify({ description: 'test' }),
  })
  const { key } = z.object({ key: z.string() }).parse(await made.json())
  return startProxyDaemon({
    name,
    folder,
    ports: { wireguard: await freePort(), mesh: await freePort() },
    joining: ['--registry', `${registry.url}#${organization}`, '--registration-key', key],
    proxy,
    isWithoutUserNamespaces: true,
  })
}

function tried(prefix: readonly string[]): { status: number | null; stderr: string } {
  const [command = '', ...words] = [...prefix, 'unshare', '--user', 'true']
  const { status, stderr } = spawnSync(command, words, { encoding: 'utf8' })
  return { status, stderr }
}

rule.before(async () => {
  near = await start('near', '--egress', `tcp:${egress}:far:8080`)
  far = await start('far')
})
rule.after(async () => {
  server.close()
  server.closeAllConnections()
  for (const daemon of [near, far]) await daemon[Symbol.asyncDispose]()
  await registry[Symbol.asyncDispose]()
})

rule('unshare(CLONE_NEWUSER) fails there', () => {
  const { status, stderr } = tried(withoutUserNamespaces())
  assert.is(status, 1)
  assert.match(stderr, /unshare failed: (No space left on device|Operation not permitted)/)
})

rule('the agents have no capability, and are where the limit holds', async () => {
  const own = await readlink('/proc/self/ns/user')
  for (const { pid } of [near, far]) {
    const status = await readFile(`/proc/${pid}/status`, 'utf8')
    for (const set of ['Inh', 'Prm', 'Eff', 'Bnd', 'Amb'])
      assert.match(status, new RegExp(`^Cap${set}:\\s*0+$`, 'm'))
    assert.match(status, /^NoNewPrivs:\s*1$/m)
    // Where this process can make namespaces, theirs is one with the limit.
    if (tried(UNPRIVILEGED).status === 0) assert.is.not(await readlink(`/proc/${pid}/ns/user`), own)
  }
})

rule('they find each other, directly', async () => {
  for (const [daemon, name] of [
    [near, 'far'],
    [far, 'near'],
  ] as const) {
    const status = STATUS.parse(JSON.parse(await daemon.nexctl('--output', 'json', 'status')))
    assert.is(status.interface.backend, 'userspace')
    for (;;) {
      const peers = PEERS.parse(
        JSON.parse(await daemon.nexctl('--output', 'json', 'peers', 'list')),
      )
      if (peers.some((peer) => peer.name === name && peer.path === 'direct')) break
      await sleep(200)
    }
  }
})

rule('a service that one exposes is fetched at the other, the registry gone too', async () => {
  await far.nexctl('expose', `${service}`, '--as', '8080')
  const fetched = async () =>
    (
      await fetch(`http://127.0.0.1:${egress}/`).catch(({ cause }: Error) => {
        throw new Error(`${cause}\n${near.lines.join('\n')}\n${far.lines.join('\n')}`)
      })
    ).text()
  assert.is(await fetched(), 'x'.repeat(1_000_000))
  await registry[Symbol.asyncDispose]()
  assert.is(await fetched(), 'x'.repeat(1_000_000))
})

rule.run()
