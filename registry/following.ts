/** Following: what other registries of the store issue is told here as if it were issued here, so that it
 *  reaches gossip from every one of them. */
import { fromBase64 } from '../crypto/bytes.ts'
import { type OrganizationId, parseOrganizationId } from '../protocol/keys.ts'
import type { Log } from '../protocol/log.ts'
import { DEVICE } from './device-record.ts'
import { HEAD } from './head.ts'
import type { Issuing } from './issuing.ts'
import { Refused } from './refusal.ts'
import { idOf } from './store/collection.ts'
import type { Database } from './store/database.ts'

export interface FollowingParts {
  readonly database: Database
  readonly issuing: Issuing
  readonly log: Log
}

/** Devices of one organization that are read one by one; of more, all are read. */
const DEVICES = 256

/** Device records to be read, by organization. */
type Pending = Map<string, Set<string> | 'all'>

/** What a change of these keys asks to be read; undefined: everything. */
export function touched(keys: readonly string[], pending: Pending = new Map()): Pending {
  for (const key of keys) {
    const isDevice = key.startsWith(`${DEVICE.name}:`)
    if (!isDevice && !key.startsWith(`${HEAD.name}:`)) continue
    const id = idOf(isDevice ? DEVICE : HEAD, key)
    const [organization = ''] = id.split('/')
    const devices = pending.get(organization) ?? new Set<string>()
    if (devices !== 'all' && isDevice) devices.add(id)
    pending.set(organization, devices === 'all' || devices.size > DEVICES ? 'all' : devices)
  }
  return pending
}

/** Where nobody else can write to the store, only when it says that anything may have changed: a commit that had
 *  failed may be there all the same. */
export function followOthers({ database, issuing, log }: FollowingParts): AsyncDisposable {
  const { store } = database
  let pending: Pending = new Map()
  let work: Promise<void> = Promise.resolve()
  let isWorking = false
  let isEnded = false
  const run = async () => {
    isWorking = true
    while (pending.size > 0 && !isEnded) {
      const taken = pending
      pending = new Map()
      for (const [organization, devices] of taken) {
        const id = parseOrganizationId(organization)
        await tell(database, issuing, id, devices).catch((error) => {
          log('error', 'registry.not-followed', { organization, error })
        })
      }
    }
    isWorking = false
  }
  const changed = async (keys: readonly string[]): Promise<void> => {
    if (keys.length > 0) touched(keys, pending)
    else for (const organization of await issuing.organizations()) pending.set(organization, 'all')
    if (!isWorking) work = run()
  }
  const take = (keys: readonly string[]) => {
    if (!store.isShared && keys.length > 0) return
    void changed(keys).catch((error) => log('error', 'registry.not-followed', { error }))
  }
  const watches = [DEVICE, HEAD].map(({ name }) => store.watch(`${name}:`, take))
  return {
    async [Symbol.asyncDispose]() {
      isEnded = true
      for (const watch of watches) watch.cancel()
      await work
    },
  }
}

async function tell(
  database: Database,
  issuing: Issuing,
  organization: OrganizationId,
  devices: ReadonlySet<string> | 'all',
): Promise<void> {
  try {
    const envelopes =
      devices === 'all'
        ? await issuing.envelopes(organization)
        : [...(await issuing.foundation(organization)), ...(await certificates(database, devices))]
    await issuing.announce({ organization, envelopes })
  } catch (error) {
    // It may have been deleted meanwhile.
    if (!(error instanceof Refused) || error.code !== 'organization-unknown') throw error
  }
}

async function certificates(
  database: Database,
  devices: ReadonlySet<string>,
): Promise<readonly Uint8Array[]> {
  const found: Uint8Array[] = []
  for (const id of devices) {
    const { certificate } = (await database.get(DEVICE, id)) ?? {}
    if (certificate !== undefined) found.push(fromBase64(certificate))
  }
  return found
}
