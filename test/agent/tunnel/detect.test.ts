/** Which backend is chosen, and what is said where there is none. */
import { execFile, execFileSync } from 'node:child_process'
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Commands, commandsOf } from '../../../agent/host/run.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import { startTunnel, type TunnelOptions } from '../../../agent/tunnel/detect.ts'
import { hasKernelWireguard, needs } from '../../support/needs.ts'

needs('root', 'netns')

const folder = await mkdtemp(join(tmpdir(), 'nxt-path-'))
const interfaceName = `nxt${process.pid}d`
const rule = suite('startTunnel')
rule.after(() => rm(folder, { recursive: true }))

/** A host on which only these commands are installed. */
async function only(...names: string[]): Promise<Commands> {
  const path = await mkdtemp(join(folder, 'bin-'))
  for (const name of names) {
    const target = execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim()
    await symlink(target, join(path, name))
  }
  return commandsOf({ path })
}

async function failureOf(options: Partial<TunnelOptions>): Promise<string> {
  const log = (): void => undefined
  const defaults = { backend: 'auto', interfaceName, clock: systemClock, log } as const
  const commands = options.commands ?? commandsOf()
  try {
    await using tunnel = await startTunnel({ ...defaults, ...options, commands })
    return `started ${tunnel.kind}`
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error
    return `${error.code}: ${error.message}`
  }
}

rule('refuses a name that is no interface name', async () => {
  for (const name of ['', 'sixteen-letters-', 'a/b', '..', 'a b', 'a\nlink delete lo']) {
    assert.match(
      await failureOf({ interfaceName: name }),
      /^ERR_TUNNEL_NAME_INVALID: interface name .* is not one \(1 to 15 of/,
    )
  }
})

rule('says that iproute2 is missing', async () => {
  assert.is(
    await failureOf({ commands: await only() }),
    'ERR_COMMAND_MISSING: ip is not installed (install the package iproute2)',
  )
})

rule('says what to install where there is no WireGuard at all', async () => {
  assert.match(
    await failureOf({ commands: await only('ip') }),
    hasKernelWireguard()
      ? /^started kernel$/
      : /^ERR_TUNNEL_BACKEND_MISSING: no WireGuard on this host: the kernel has no WireGuard \(load the module wireguard\), and wireguard-go is not installed \(install the package wireguard-go\)$/,
  )
})

rule('says what is missing of the backend that was asked for', async () => {
  const commands = await only('ip')
  assert.match(
    await failureOf({ commands, backend: 'kernel' }),
    hasKernelWireguard()
      ? /^started kernel$/
      : /^ERR_TUNNEL_BACKEND_MISSING: the kernel has no WireGuard/,
  )
  assert.match(
    await failureOf({ commands, backend: 'wireguard-go' }),
    /^ERR_TUNNEL_BACKEND_MISSING: wireguard-go is not installed/,
  )
})

rule('asks for the privilege before it tries anything', async () => {
  const run = promisify(execFile)
  const script = `
    const { startTunnel } = await import('${new URL('../../../agent/tunnel/detect.ts', import.meta.url)}')
    await startTunnel({ interfaceName: '${interfaceName}' }).catch((error) => console.log(error.code, error.message))`
  const drop = ['--bounding-set=-net_admin', '--inh-caps=-net_admin']
  const { stdout } = await run('setpriv', [
    ...drop,
    process.execPath,
    '--input-type=module',
    '-e',
    script,
  ])
  assert.is(
    stdout.trim(),
    `ERR_TUNNEL_PRIVILEGES cannot create ${interfaceName}: no CAP_NET_ADMIN (run as root, give that capability, or choose --backend userspace)`,
  )
})

rule.run()
