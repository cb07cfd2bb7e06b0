/** A partition of the laboratory: the core carries nothing between two halves of its sites, and says so to nobody. */
import type { Lab } from './lab.ts'

/** Adding before deleting makes it hold whether or not the table is there. */
const TABLE = ['table inet partition', 'delete table inet partition']

/** Cuts every way between the sites of the two halves; within each all goes on. */
export async function cutApart(
  { core }: Lab,
  one: readonly number[],
  other: readonly number[],
): Promise<void> {
  const drop = (from: readonly number[], to: readonly number[]): string =>
    `iifname { ${linksOf(from)} } oifname { ${linksOf(to)} } drop;`
  await core.batch('nft', [
    ...TABLE,
    'table inet partition {',
    `chain cut { type filter hook forward priority 0; ${drop(one, other)} ${drop(other, one)} }`,
    '}',
  ])
}

export async function heal({ core }: Lab): Promise<void> {
  await core.batch('nft', TABLE)
}

function linksOf(sites: readonly number[]): string {
  return sites.map((site) => `s${site}`).join(', ')
}
