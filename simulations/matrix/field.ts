/** The laboratory of one pair: a public hub at site 1, the pair, and a public server at the last site. */

import { createLab } from '../lab/lab.ts'
import type { SiteKind } from '../lab/nat.ts'
import { ACCESS_DELAY_MS } from '../lab/scene.ts'
import type { Field } from '../products/product.ts'
import type { Pair } from './pairs.ts'

export interface PairField extends Field, Disposable {
  /** Of the pair, without the hub's and the server's. */
  readonly sites: readonly number[]
}

export async function openField(
  { kinds: [a, b], isOneSite }: Pair,
  { overlap = false, shared, third }: { overlap?: boolean; shared: string; third?: SiteKind },
): Promise<PairField> {
  const own = isOneSite ? [{ kind: a, hosts: 2 }] : [{ kind: a }, { kind: b }]
  const kinds = [...own, ...(third === undefined ? [] : [{ kind: third }])]
  const sites = [{ kind: 'public' as const }, ...kinds, { kind: 'public' as const }]
  const lab = await createLab({
    sites: sites.map((site) => ({ ...site, delayMs: ACCESS_DELAY_MS })),
    overlap,
  })
  const last = 1 + own.length
  return {
    lab,
    shared,
    hub: lab.host(1),
    server: lab.host(sites.length),
    members: {
      a: lab.host(2),
      b: isOneSite ? lab.host(2, 1) : lab.host(3),
      ...(third === undefined ? {} : { c: lab.host(last + 1) }),
    },
    sites: kinds.map((_, index) => 2 + index),
    [Symbol.dispose]: () => lab[Symbol.dispose](),
  }
}
