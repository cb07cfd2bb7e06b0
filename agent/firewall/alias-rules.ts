/** Alias rules: chains that give packets from a device's alias the source that they are from, before anything else sees
 *  them, and packets from a prefix of this device its alias, after everything else has (SPEC §8.9). Stateless; nftables
 *  keeps the checksums right, above IP, too. Pure. */
import {
  addressFamily,
  addressFromBytes,
  isHostPrefix,
  type Prefix,
  prefixAddress,
  prefixMask,
} from '../../protocol/address.ts'
import type { Aliases } from './firewall.ts'

const WORDS = { 4: 'ip', 6: 'ip6' } as const

/** Empty where there are none: then no packet meets a hook of theirs. */
export function aliasChains(interfaceName: string, { arriving, leaving }: Aliases): string {
  const into = arriving.map(({ alias, prefix }) => {
    return `iifname "${interfaceName}" ${translation(alias, prefix)}`
  })
  const out = leaving.map(({ alias, prefix }) => {
    return `oifname "${interfaceName}" ${translation(prefix, alias)}`
  })
  // Before conntrack (-200), after its reassembly (-400); and after NAT and its helpers (300).
  const [first, last] = ['prerouting priority raw - 10', 'postrouting priority srcnat + 250']
  return `${chain('alias-arriving', first, into)}${chain('alias-leaving', last, out)}`
}

function chain(name: string, hook: string, rules: readonly string[]): string {
  if (rules.length === 0) return ''
  const lines = rules.map((each) => `    ${each}\n`).join('')
  return `  chain ${name} {\n    type filter hook ${hook}; policy accept;\n${lines}  }\n`
}

/** What identifies a host inside of the prefix stays. */
function translation(from: Prefix, to: Prefix): string {
  const word = WORDS[addressFamily(from)]
  const [match, address] = [`${word} saddr ${from} ${word} saddr set`, prefixAddress(to)]
  if (isHostPrefix(from)) return `${match} ${address}`
  const hostMask = addressFromBytes(prefixMask(from).map((bits) => ~bits))
  return `${match} ${word} saddr & ${hostMask} | ${address}`
}
