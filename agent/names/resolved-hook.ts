/** systemd-resolved hook: split DNS by the settings of a link (resolvectl(1)): queries in our domains go to our resolver,
 *  no other does. */
import { readFile } from 'node:fs/promises'
import { addressFamily, type Endpoint } from '../../protocol/address.ts'
import type { Commands } from '../host/run.ts'
import type { Hook, Hooked } from './hook.ts'
import { asksResolved, hasStub } from './resolver-texts.ts'

/** Domains of a link that are set; systemd-resolved takes 1,024. */
const DOMAINS = 512

export interface ResolvedParts {
  readonly interfaceName: string
  readonly commands: Commands
}

export function resolvedHook({ interfaceName, commands }: ResolvedParts): Hook {
  const set = (...words: readonly string[]): Promise<string> => commands.run('resolvectl', words)
  let last: string | undefined
  return {
    kind: 'systemd-resolved',
    obstacle: async ({ server }) => {
      if (server === undefined) return 'our resolver has no address to listen on'
      const [stubs, resolvConf, nsswitch] = await Promise.all(
        ['/proc/self/net/udp', '/etc/resolv.conf', '/etc/nsswitch.conf'].map(textOf),
      )
      if (!hasStub(stubs ?? '')) return 'it does not run here'
      if (!asksResolved(resolvConf ?? '', nsswitch ?? ''))
        return 'it runs, but this host asks others (/etc/resolv.conf)'
      return commands.require('resolvectl').then(
        () => undefined,
        () => 'it runs, but resolvectl is not installed',
      )
    },
    apply: async (wanted) => {
      const [server, domains] = [formatServer(wanted.server), domainsOf(wanted)]
      const key = [server, ...domains].join(' ')
      if (key === last && (await set('domain', interfaceName)).includes(wanted.search)) return
      last = undefined
      await set('dns', interfaceName, server)
      await set('domain', interfaceName, ...domains)
      await set('default-route', interfaceName, 'false')
      // Our domains are not in the public tree: nothing there could vouch for them.
      await set('dnssec', interfaceName, 'no')
      await set('dnsovertls', interfaceName, 'no')
      await set('llmnr', interfaceName, 'no')
      await set('mdns', interfaceName, 'no')
      last = key
    },
    remove: async () => {
      last = undefined
      const stubs = await textOf('/proc/self/net/udp')
      if (!hasStub(stubs)) return
      const said = await set('domain', interfaceName).catch(() => '')
      if (said.includes('nexodus')) await set('revert', interfaceName).catch(() => '')
    },
  }
}

/** `address:port`; the port is left out where it is 53, as versions before 246 want it. */
function formatServer(server: Endpoint | undefined): string {
  if (server === undefined) return ''
  const { address, port } = server
  if (port === 53) return address
  return addressFamily(address) === 6 ? `[${address}]:${port}` : `${address}:${port}`
}

/** `~` routes a domain without searching it (systemd.network(5), Domains=). */
function domainsOf({ search, isSearched, domains }: Hooked): readonly string[] {
  const others = domains.filter((each) => each !== search).map((each) => `~${each || '.'}`)
  return [isSearched ? search : `~${search}`, ...others].slice(0, DOMAINS)
}

async function textOf(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error) return ''
    throw error
  }
}
