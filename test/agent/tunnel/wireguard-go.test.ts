// time limit: 120 s
/** The contract of tunnels by wireguard-go, and what only a process can do: die. */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { systemClock } from '../../../agent/system-clock.ts'
import type { BackendOptions, TunnelConfig } from '../../../agent/tunnel/backend.ts'
import { startTunnel } from '../../../agent/tunnel/detect.ts'
import { generateAgreementKeyPair } from '../../../crypto/agreement.ts'
import { parsePrefix } from '../../../protocol/address.ts'
import { needs } from '../../support/needs.ts'
import { tunnelContract } from './contract.ts'
import { hostContract } from './host-contract.ts'
import { joinedNamespaces, type Namespace } from './namespaces.ts'

needs('root', 'netns', 'wireguard-go', 'nft', 'ping')
tunnelContract('wireguard-go')
hostContract('wireguard-go')

let host: Namespace
let other: Namespace
let options: BackendOptions & { readonly backend: 'wireguard-go' }
const config: TunnelConfig = {
  privateKey: generateAgreementKeyPair(),
  listenPort: 51820,
  addresses: [parsePrefix('100.64.0.1/32')],
  mtu: 1420,
  peers: new Map(),
}

const rule = suite('wireguard-go')

rule.before(async () => {
  ;[host, other] = await joinedNamespaces()
  const { commands, tunnelName } = host
  const log = (): void => undefined
  options = {
    backend: 'wireguard-go',
    interfaceName: tunnelName,
    commands,
    clock: systemClock,
    log,
  }
})
rule.after(async () => {
  await host[Symbol.asyncDispose]()
  await other[Symbol.asyncDispose]()
})

function socketOf(name: string): string {
  return `/var/run/wireguard/${name}.sock`
}

rule('tells when the process dies, and starts again from what that left', async () => {
  const tunnel = await startTunnel(options)
  await tunnel.configure(config)
  const [pid = 0] = await host.processes()
  process.kill(pid, 'SIGKILL')
  assert.match((await tunnel.ended)?.message ?? '', /^wireguard-go for nxt\d+a ended: .*SIGKILL/)
  const error = await tunnel.stats().catch((cause: unknown) => cause)
  assert.is((error as { code?: string }).code, 'ERR_TUNNEL_GONE')
  assert.is(existsSync(socketOf(host.tunnelName)), true)
  await using again = await startTunnel(options)
  await again.configure(config)
  assert.match(await host.sh('ip address'), /100\.64\.0\.1/)
})

rule('removes the socket of a process that died', async () => {
  const tunnel = await startTunnel(options)
  const [pid = 0] = await host.processes()
  process.kill(pid, 'SIGKILL')
  await tunnel.ended
  await tunnel[Symbol.asyncDispose]()
  assert.is(existsSync(socketOf(host.tunnelName)), false)
})

rule('refuses a name whose socket answers in another namespace', async () => {
  await using _first = await startTunnel(options)
  const second = { ...options, commands: other.commands }
  const error = await startTunnel(second).catch((cause: unknown) => cause)
  assert.is((error as { code?: string }).code, 'ERR_TUNNEL_NAME_TAKEN')
  assert.match((error as Error).message, /another WireGuard, which answers at .*\.sock/)
})

rule('refuses a name that an interface of another kind has', async () => {
  await host.sh(`ip link add ${host.tunnelName} type veth peer name nxtother`)
  const error = await startTunnel(options).catch((cause: unknown) => cause)
  await host.sh(`ip link delete ${host.tunnelName}`)
  assert.is((error as { code?: string }).code, 'ERR_TUNNEL_NAME_TAKEN')
})

rule('leaves a socket alone that somebody else listens on', async () => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(socketOf(host.tunnelName), resolve))
  const error = await startTunnel(options).catch((cause: unknown) => cause)
  assert.is((error as { code?: string }).code, 'ERR_TUNNEL_NAME_TAKEN')
  assert.is(existsSync(socketOf(host.tunnelName)), true)
  server.close()
})

rule('never shows the private key to other processes', async () => {
  await using tunnel = await startTunnel(options)
  await tunnel.configure(config)
  const [pid = 0] = await host.processes()
  const shown = execFileSync('cat', [`/proc/${pid}/cmdline`, `/proc/${pid}/environ`], {
    encoding: 'latin1',
  })
  const key = execFileSync('wg', ['show', host.tunnelName, 'private-key'], { encoding: 'utf8' })
  assert.not(shown.includes(key.trim()))
})

rule.run()
