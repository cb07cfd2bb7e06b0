/** Forward blocks: whose rules on this host may drop what a router forwards. In nftables every table has a word: an accept
 *  of ours does not undo another's drop, and others' rules are not ours to change. So it is said. */
import { z } from 'zod'
import type { Commands } from './run.ts'

/** `ip filter FORWARD`: the chain, and what in it drops. */
export interface ForwardBlock {
  readonly chain: string
  readonly by: 'policy drop' | 'last rule drops'
}

const CHAIN = z.object({
  family: z.string(),
  table: z.string(),
  name: z.string(),
  hook: z.string().optional(),
  policy: z.string().optional(),
})
const RULE = z.object({
  family: z.string(),
  table: z.string(),
  chain: z.string(),
  expr: z.array(z.record(z.string(), z.unknown())).optional(),
})
const RULESET = z.object({
  nftables: z.array(z.object({ chain: CHAIN.optional(), rule: RULE.optional() })),
})
type Rule = z.output<typeof RULE>

/** Throws CommandError. @param tunnelInterface a table that names it has been told of us */
export async function readForwardBlocks(
  commands: Commands,
  tunnelInterface: string,
): Promise<readonly ForwardBlock[]> {
  return forwardBlocks(await commands.run('nft', ['-j', 'list', 'ruleset']), tunnelInterface)
}

/** Of `nft -j list ruleset`. */
export function forwardBlocks(text: string, tunnelInterface: string): readonly ForwardBlock[] {
  const { nftables } = RULESET.parse(JSON.parse(text))
  const rules = nftables.flatMap(({ rule }) => (rule === undefined ? [] : [rule]))
  return nftables.flatMap(({ chain }): ForwardBlock[] => {
    if (chain?.hook !== 'forward' || chain.table.startsWith('nexodus-')) return []
    const name = `${chain.family} ${chain.table} ${chain.name}`
    const inTable = rules.filter(
      (rule) => rule.family === chain.family && rule.table === chain.table,
    )
    if (inTable.some((rule) => JSON.stringify(rule.expr ?? []).includes(`"${tunnelInterface}"`)))
      return []
    if (chain.policy === 'drop') return [{ chain: name, by: 'policy drop' }]
    const last = inTable.filter((rule) => rule.chain === chain.name).at(-1)
    return last !== undefined && alwaysDrops(last) ? [{ chain: name, by: 'last rule drops' }] : []
  })
}

/** As firewalld ends its chains: no condition, and a drop or a reject. */
function alwaysDrops({ expr = [] }: Rule): boolean {
  const words = expr.flatMap((each) => Object.keys(each))
  const verdicts = words.filter((word) => word !== 'counter' && word !== 'log')
  return verdicts.length === 1 && ['drop', 'reject'].includes(verdicts[0] ?? '')
}

/** What an operator does about it. */
export function forwardBlockHint(block: ForwardBlock, tunnelInterface: string): string {
  if (block.chain === 'ip filter FORWARD' || block.chain === 'ip6 filter FORWARD') {
    const command = block.chain.startsWith('ip6') ? 'ip6tables' : 'iptables'
    return `${command} -I DOCKER-USER -i ${tunnelInterface} -j ACCEPT, and the same with -o (without Docker: -I FORWARD)`
  }
  if (block.chain.startsWith('inet firewalld '))
    return `firewall-cmd --permanent --zone=trusted --add-interface=${tunnelInterface}, then firewall-cmd --reload`
  return `let traffic of ${tunnelInterface} pass in ${block.chain}`
}
