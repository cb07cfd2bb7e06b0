/** Names: what an organization adds to the names of its devices (SPEC §13.3, §13.4). */
import { MalformedError } from '../protocol/errors.ts'
import type { OrganizationId } from '../protocol/keys.ts'
import type { Act } from './act.ts'
import { audit, difference } from './audit.ts'
import { HEAD } from './head.ts'
import type { Issuing } from './issuing.ts'
import { bytesOfNames, bytesOfPolicy, checkRoom } from './manifest-room.ts'
import { checkNames, type NamesRecord, namesOfRecord } from './names-record.ts'
import { POLICY } from './policy-record.ts'
import { Refused } from './refusal.ts'
import type { Database } from './store/database.ts'

/** Bytes of all of them in a manifest, which has 61,440, most of it for revocations. */
export const NAMES_BYTES = 24_576

const NONE: NamesRecord = { records: [], forwards: [] }

export async function namesIn(
  database: Pick<Database, 'get'>,
  organization: OrganizationId,
): Promise<NamesRecord> {
  const head = await database.get(HEAD, organization)
  return head?.names ?? NONE
}

/** In place of those of before, in the next manifest. Throws Refused (names-invalid, organization-unknown). */
export async function setNames(
  issuing: Pick<Issuing, 'change'>,
  organization: OrganizationId,
  names: NamesRecord,
  by: Act,
): Promise<void> {
  const length = bytesOf(names)
  await issuing.change(organization, async (change) => {
    if (JSON.stringify(change.head.names) === JSON.stringify(names)) return
    const ofPolicy = bytesOfPolicy(await change.transaction.get(POLICY, organization))
    orRefused(() => checkRoom(length, ofPolicy))
    await audit(change.transaction, organization, by, {
      action: 'names.changed',
      ...difference(change.head.names ?? NONE, names),
    })
    change.head = { ...change.head, names }
    await change.publishManifest()
  })
}

/** Throws Refused (names-invalid). */
function bytesOf(names: NamesRecord): number {
  const length = orRefused(() => {
    checkNames(namesOfRecord(names))
    return bytesOfNames(names)
  })
  if (length <= NAMES_BYTES) return length
  throw new Refused('names-invalid', `names have ${length} bytes, want at most ${NAMES_BYTES}`)
}

function orRefused<T>(check: () => T): T {
  try {
    return check()
  } catch (cause) {
    if (!(cause instanceof MalformedError)) throw cause
    throw new Refused('names-invalid', cause.message, { cause })
  }
}
