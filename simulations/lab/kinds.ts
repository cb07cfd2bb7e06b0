/** The kinds of NAT that the laboratory can make, each tried out. */
import { join } from 'node:path'
import { z } from 'zod'
import type { Classification } from './classify.ts'
import { createLab, type Lab } from './lab.ts'
import { SITE_KINDS, type SiteKind } from './nat.ts'

const SCRIPT = new URL('classify.ts', import.meta.url).pathname
const BEHAVIOUR = z.enum([
  'none',
  'endpoint-independent',
  'address-dependent',
  'address-and-port-dependent',
])
const CLASSIFICATION = z.object({
  isReachable: z.boolean(),
  mapping: BEHAVIOUR,
  filtering: BEHAVIOUR,
  isPortKept: z.boolean(),
})

/** What a host at a site of each kind finds out about its NAT. */
export async function classifyKinds(): Promise<ReadonlyMap<SiteKind, Classification>> {
  using lab = await createLab({ sites: SITE_KINDS.map((kind) => ({ kind })) })
  const servers = ['198.18.1.1', '198.18.2.1'] as const
  const server = lab.core.spawn(join(lab.folder, 'classify.log'), process.execPath, [
    SCRIPT,
    'serve',
    ...servers,
  ])
  await server.waitFor(/ready/)
  const found = new Map<SiteKind, Classification>()
  for (const [index, kind] of SITE_KINDS.entries())
    found.set(kind, await classify(lab, index + 1, servers))
  return found
}

async function classify(
  lab: Lab,
  site: number,
  servers: readonly string[],
): Promise<Classification> {
  const output = await lab.host(site).namespace.exec(process.execPath, SCRIPT, 'ask', ...servers)
  return CLASSIFICATION.parse(JSON.parse(output))
}
