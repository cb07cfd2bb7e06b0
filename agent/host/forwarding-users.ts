/** Forwarding users: whose rules on this host hook what it forwards, beside ours: Docker, libvirt, other organizations. */
import { z } from 'zod'
import type { Commands } from './run.ts'

const CHAINS = z.object({
  nftables: z.array(
    z.object({
      chain: z
        .object({
          family: z.string(),
          table: z.string(),
          name: z.string(),
          type: z.string().optional(),
          hook: z.string().optional(),
        })
        .optional(),
    }),
  ),
})

/** `ip nat POSTROUTING`, … Throws CommandError. @param ownTable of the router that asks */
export async function readForwardingUsers(
  commands: Commands,
  ownTable: string,
): Promise<readonly string[]> {
  const [chains, legacy4, legacy6] = await Promise.all([
    commands.run('nft', ['-j', 'list', 'chains']),
    readLegacy(commands, 'ip'),
    readLegacy(commands, 'ip6'),
  ])
  return [...forwardingUsers(chains, ownTable), ...legacy4, ...legacy6].toSorted()
}

/** Of `nft -j list chains`. */
export function forwardingUsers(text: string, ownTable: string): readonly string[] {
  return CHAINS.parse(JSON.parse(text)).nftables.flatMap(({ chain }) => {
    if (chain === undefined || chain.table === ownTable) return []
    const { family, table, name, type, hook } = chain
    // Of ours only other routers need it.
    if (table.startsWith('nexodus-') && !table.startsWith('nexodus-router-')) return []
    const isUser = hook === 'forward' || (hook === 'postrouting' && type === 'nat')
    return isUser ? [`${family} ${table} ${name}`] : []
  })
}

/** Tables of iptables-legacy, which nft does not show. */
async function readLegacy(commands: Commands, family: 'ip' | 'ip6'): Promise<readonly string[]> {
  const names = await commands.run('cat', [`/proc/net/${family}_tables_names`]).catch(() => '')
  return names.split('\n').flatMap((name) => (name === 'nat' ? [`${family} nat legacy`] : []))
}
