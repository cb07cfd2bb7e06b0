/** Port mapping in the laboratory: Debian's miniupnpd on a site's router, by the protocols that are wanted. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Namespace, Running } from './namespace.ts'

export interface MappingOptions {
  readonly protocols: readonly ('pcp' | 'nat-pmp' | 'upnp')[]
  /** Seconds that PCP grants at most; a day unless given. */
  readonly longestLifetime?: number
}

export interface MappingDaemon {
  /** The router's table: `udp 51820 192.168.2.10:51820`. */
  mappings(): Promise<readonly string[]>
  /** Of IPv6, as the router's rules name them: `2001:db8:2:1::10 51820`. */
  pinholes(): Promise<readonly string[]>
  /** Ends it with all mappings, as a power cut does. */
  stop(): Promise<void>
  /** Again, or anew with other protocols. */
  start(options?: MappingOptions): Promise<void>
}

/** Needs the Debian package miniupnpd-nftables. Ends with the namespace. */
export async function startMappingDaemon(
  router: Namespace,
  folder: string,
  options: MappingOptions,
): Promise<MappingDaemon> {
  let wanted = options
  let running: Running | undefined
  const file = (suffix: string): string => join(folder, `${router.name}-miniupnpd.${suffix}`)
  const start = async (): Promise<void> => {
    writeFileSync(file('conf'), settings(wanted))
    // One that was killed leaves its own behind, and the next would take it for a running one.
    rmSync(file('pid'), { force: true })
    await router.batch('nft', versionFilter(wanted))
    const args = ['-d', '-f', file('conf'), '-P', file('pid')]
    running = router.spawn(file('log'), 'miniupnpd', args)
    await running.waitFor(/HTTP listening on port|Listening for NAT-PMP\/PCP traffic/)
  }
  await start()
  return {
    mappings: async () => {
      const rules = await router.exec(
        'nft',
        'list',
        'chain',
        'inet',
        'filter',
        `prerouting_miniupnpd`,
      )
      return [...rules.matchAll(/@nh,72,8 0x11 th dport (\d+) dnat ip to (\S+)/g)].map(
        ([, port, host]) => `udp ${port} ${host}`,
      )
    },
    pinholes: async () => {
      const rules = await router.exec('nft', 'list', 'chain', 'inet', 'filter', 'miniupnpd')
      return rules.split('\n').filter((line) => line.includes('@nh,192,128'))
    },
    stop: async () => {
      await running?.stop('SIGKILL')
      const chains = ['miniupnpd', 'prerouting_miniupnpd', 'postrouting_miniupnpd']
      await router.batch(
        'nft',
        chains.map((chain) => `flush chain inet filter ${chain}`),
      )
      await router.attempt('conntrack', '-F')
    },
    start: (other = wanted) => {
      wanted = other
      return start()
    },
  }
}

function settings({ protocols, longestLifetime = 86_400 }: MappingOptions): string {
  const isOn = (...any: readonly string[]): string =>
    any.some((each) => protocols.some((protocol) => protocol === each)) ? 'yes' : 'no'
  return [
    'ext_ifname=wan',
    'listening_ip=lan',
    'http_port=0',
    `enable_natpmp=${isOn('pcp', 'nat-pmp')}`,
    `enable_upnp=${isOn('upnp')}`,
    'min_lifetime=10',
    `max_lifetime=${longestLifetime}`,
    'secure_mode=yes',
    'system_uptime=no',
    'notify_interval=900',
    'uuid=6e4b9c0a-6a39-4b7f-9a5e-0d8f5a4d2c11',
    'allow 1024-65535 0.0.0.0/0 1024-65535',
    'deny 0-65535 0.0.0.0/0 0-65535',
    '',
  ].join('\n')
}

/** PCP and NAT-PMP are one service, told apart by the first byte of a request. */
function versionFilter({ protocols }: MappingOptions): readonly string[] {
  const dropped = [
    ...(protocols.includes('nat-pmp') ? [] : [0]),
    ...(protocols.includes('pcp') ? [] : [2]),
  ]
  return [
    'table inet versions',
    'delete table inet versions',
    'table inet versions {',
    'chain in { type filter hook input priority 0;',
    ...dropped.map((version) => `udp dport 5351 @th,64,8 ${version} drop;`),
    '}',
    '}',
  ]
}
