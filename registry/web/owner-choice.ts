/** Whom an admin may make the owner of a device: in a large organization not all are listed. */
import { z } from 'zod'
import type { OrganizationId } from '../../protocol/keys.ts'
import type { Member, Members } from '../members.ts'
import { parseInput } from '../problem.ts'
import { Refused } from '../refusal.ts'

export interface OwnerChoice {
  /** By name. */
  readonly members: readonly Pick<Member, 'user' | 'name'>[]
  /** Are there others, who are named by hand? */
  readonly areMore: boolean
}

export const NO_CHOICE: OwnerChoice = { members: [], areMore: false }

/** Members that one page lists. */
const LISTED = 100

export async function ownerChoice(
  members: Pick<Members, 'page'>,
  organization: OrganizationId,
): Promise<OwnerChoice> {
  const { items, next } = await members.page(organization, { limit: LISTED })
  const byName = items.toSorted((a, b) => a.name.localeCompare(b.name))
  return { members: byName, areMore: next !== undefined }
}

const WANTED = z.object({
  owner: z.string().max(64),
  /** E-mail address, name or id, in place of one that is listed. */
  named: z.string().trim().max(254).default(''),
})

/** The user that the form asks for, who may be no member. Throws a 400 problem, or Refused (member-unknown). */
export async function wantedOwner(
  members: Pick<Members, 'page'>,
  organization: OrganizationId,
  body: unknown,
): Promise<string> {
  const { owner, named } = parseInput(WANTED, body)
  if (named === '') return owner
  const found = await membersNamed(members, organization, named)
  const [user] = found
  if (user !== undefined && found.length === 1) return user
  const why =
    user === undefined
      ? `no member is called "${named}"`
      : `${found.length} members are called "${named}": give the id of one, as the HTTP API lists it`
  throw new Refused('member-unknown', why, { field: 'named' })
}

async function membersNamed(
  members: Pick<Members, 'page'>,
  organization: OrganizationId,
  named: string,
): Promise<readonly string[]> {
  const isCalled = ({ name, user }: Member): boolean =>
    user === named || name.toLowerCase() === named.toLowerCase()
  const found: string[] = []
  let cursor: string | undefined
  do {
    const page = await members.page(organization, { limit: LISTED, ...(cursor && { cursor }) })
    found.push(...page.items.filter(isCalled).map(({ user }) => user))
    cursor = page.next
  } while (cursor !== undefined)
  return found
}
