/** The kinds of NAT that the laboratory can make, each tried out. */
import { join } from 'node:path'
import { CLASSIFICATION, type Classification } from './classify.ts'
import type { Host } from './ground.ts'
import { createLab, type Lab } from './lab.ts'
import { featuresOf, SITE_KINDS, type SiteKind } from './nat.ts'

const SCRIPT = new URL('classify.ts', import.meta.url).pathname
const SERVERS = {
  4: ['198.18.1.1', '198.18.2.1'],
  6: ['2001:db8:1::1', '2001:db8:2::1'],
} as const

export interface Classifier {
  /** What a host finds out about the NAT before it. */
  classify(host: Host, family?: 4 | 6): Promise<Classification>
}

/** In the core of a laboratory with two sites at least; ends with it. */
export async function startClassifier(lab: Lab): Promise<Classifier> {
  const log = join(lab.folder, 'classify.log')
  const args = [SCRIPT, 'serve', ...SERVERS[4], ...SERVERS[6]]
  await lab.core.spawn(log, process.execPath, args).waitFor(/ready/)
  return {
    classify: async ({ namespace }, family = 4) => {
      const output = await namespace.exec(process.execPath, SCRIPT, 'ask', ...SERVERS[family])
      return CLASSIFICATION.parse(JSON.parse(output))
    },
  }
}

/** Sites to try out; `v6dual IPv6` is the other family of the same site. */
export type KindTried = SiteKind | 'v6dual IPv6'

/** A site of each kind. */
export async function classifyKinds(
  kinds: readonly SiteKind[] = SITE_KINDS,
): Promise<ReadonlyMap<KindTried, Classification>> {
  // The classifier's server has two addresses, of the first two sites.
  using lab = await createLab({
    sites: [...kinds, ...(kinds.length < 2 ? ['public' as const] : [])].map((kind) => ({ kind })),
  })
  const classifier = await startClassifier(lab)
  const found = new Map<KindTried, Classification>()
  for (const [index, kind] of kinds.entries()) {
    const family = featuresOf(kind).hasIpv4 ? 4 : 6
    found.set(kind, await classifier.classify(lab.host(index + 1), family))
    if (kind === 'v6dual')
      found.set('v6dual IPv6', await classifier.classify(lab.host(index + 1), 6))
  }
  return found
}
