/** Private names: those that nobody has in the public tree of names, and those by which servers are found there. Pure. */
import { isIP } from 'node:net'
import { isInDomain, TOP_DOMAIN } from '../../protocol/domain-name.ts'
import { PRIVATE_TOP_DOMAINS } from '../../protocol/organization-names.ts'

/** Ours; those that may be forwarded whole; of homes (RFC 8375); for tests (RFC 6761). `local` is each link's own (RFC 6762). */
const PRIVATE: readonly string[] = [TOP_DOMAIN, ...PRIVATE_TOP_DOMAINS, 'home.arpa', 'test']

export function isPrivateName(name: string): boolean {
  return PRIVATE.some((domain) => isInDomain(name, domain))
}

/** Names in URLs of registries, and in multiaddrs; in order, each once. */
export function serverNames(
  urls: readonly string[],
  multiaddrs: readonly string[],
): readonly string[] {
  const named = [
    ...urls.map((url) => new URL(url).hostname),
    ...multiaddrs.flatMap((each) => /^\/dns(?:4|6|addr)?\/([^/]+)/.exec(each)?.[1] ?? []),
  ]
  const names = named.map((name) => name.toLowerCase().replace(/\.$/, ''))
  return [...new Set(names.filter((name) => isIP(name) === 0 && !name.startsWith('[')))].toSorted()
}
