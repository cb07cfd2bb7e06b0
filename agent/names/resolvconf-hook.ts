/** resolvconf hook: openresolv's private records (resolvconf(8), -p), which its local resolvers (unbound, dnsmasq, named)
 *  take for the domains they name, and for nothing else. Debian's older resolvconf knows no such thing. */
import { readFile } from 'node:fs/promises'
import type { Commands } from '../host/run.ts'
import type { Hook, Hooked } from './hook.ts'
import { asksLocalResolver } from './resolver-texts.ts'

export function resolvconfHook(interfaceName: string, commands: Commands): Hook {
  const record = `${interfaceName}.nexodus`
  let last: string | undefined
  const isOpenresolv = async (): Promise<boolean> => {
    const said = await commands.run('resolvconf', ['--version']).catch(() => '')
    return said.includes('openresolv')
  }
  return {
    kind: 'resolvconf',
    obstacle: async ({ server }) => {
      if (server?.port !== 53) return 'our resolver does not have port 53'
      if (!(await isOpenresolv())) return 'openresolv, which can split domains, is not installed'
      const resolvConf = await readFile('/etc/resolv.conf', 'utf8').catch(() => '')
      return asksLocalResolver(resolvConf)
        ? undefined
        : 'no resolver of this host serves it (unbound or dnsmasq as openresolv sets them up)'
    },
    apply: async (wanted) => {
      const input = textOf(wanted)
      if (input === last && (await isListed(commands, record))) return
      await commands.run('resolvconf', ['-p', '-a', record], { input })
      last = input
    },
    remove: async () => {
      last = undefined
      if (await isListed(commands, record)) await commands.run('resolvconf', ['-f', '-d', record])
    },
  }
}

function textOf({ server, search, domains }: Hooked): string {
  const others = domains.filter((each) => each !== search)
  return `nameserver ${server?.address ?? ''}\nsearch ${[search, ...others].join(' ')}\n`
}

async function isListed(commands: Commands, record: string): Promise<boolean> {
  const said = await commands.run('resolvconf', ['-i']).catch(() => '')
  return said.split(/\s+/).includes(record)
}
