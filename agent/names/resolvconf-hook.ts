/** resolvconf hook: openresolv's private records (resolvconf(8), -p), which its local resolvers (unbound, dnsmasq, named)
 *  take for the domains they name, and for nothing else. Debian's older resolvconf knows no such thing. */
import { readFile } from 'node:fs/promises'
import { addressFamily, type IpAddress } from '../../protocol/address.ts'
import { ROOT_DOMAIN } from '../../protocol/domain-name.ts'
import type { Commands } from '../host/run.ts'
import type { Hook, Hooked } from './hook.ts'
import { asksLocalResolver } from './resolver-texts.ts'
import type { NameServer } from './server.ts'

export interface ResolvconfParts {
  readonly interfaceName: string
  readonly commands: Commands
  /** Answers there too, at port 53: openresolv takes servers on loopback for those of all domains (resolvconf.conf(5),
   *  local_nameservers). Undefined where it cannot be. */
  serveAt(address: IpAddress): Promise<NameServer | undefined>
}

export function resolvconfHook({ interfaceName, commands, serveAt }: ResolvconfParts): Hook {
  const record = `${interfaceName}.nexodus`
  let [last, server]: [string | undefined, NameServer | undefined] = [undefined, undefined]
  const serve = async (address: IpAddress): Promise<void> => {
    if (server?.at.address === address) return
    await server?.[Symbol.asyncDispose]()
    server = await serveAt(address)
    if (server === undefined) throw new Error(`port 53 of ${address} is not to be had`)
  }
  return {
    kind: 'resolvconf',
    obstacle: async ({ own }) => {
      if (own.addresses.every((each) => addressFamily(each) !== 4))
        return 'this device has no IPv4 address, and openresolv takes no other'
      if (!(await isOpenresolv(commands)))
        return 'openresolv, which can split domains, is not installed'
      const resolvConf = await readFile('/etc/resolv.conf', 'utf8').catch(() => '')
      return asksLocalResolver(resolvConf)
        ? undefined
        : 'no resolver of this host serves it (unbound or dnsmasq as openresolv sets them up)'
    },
    apply: async (wanted) => {
      const address = wanted.own.addresses.find((each) => addressFamily(each) === 4)
      if (address === undefined) throw new Error('this device has no IPv4 address')
      await serve(address)
      const input = textOf(address, wanted)
      if (input === last && (await isListed(commands, record))) return
      await commands.run('resolvconf', ['-p', '-a', record], { input })
      last = input
    },
    remove: async () => {
      last = undefined
      if (await isListed(commands, record)) await commands.run('resolvconf', ['-f', '-d', record])
      await server?.[Symbol.asyncDispose]()
      server = undefined
    },
  }
}

function textOf(address: IpAddress, { search, domains }: Hooked): string {
  const others = domains.filter((each) => each !== search && each !== ROOT_DOMAIN)
  return `nameserver ${address}\nsearch ${[search, ...others].join(' ')}\n`
}

async function isOpenresolv(commands: Commands): Promise<boolean> {
  const said = await commands.run('resolvconf', ['--version']).catch(() => '')
  return said.includes('openresolv')
}

async function isListed(commands: Commands, record: string): Promise<boolean> {
  const said = await commands.run('resolvconf', ['-i']).catch(() => '')
  return said.split(/\s+/).includes(record)
}
