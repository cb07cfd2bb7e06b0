/** Enrolments at a registry on level that is killed in the middle of them, again and again, and what its
 *  store holds each time. */
import { join } from 'node:path'
import { type Applicant, RegistryClient } from '../../agent/registry-client.ts'
import { generateAgreementKeyPair } from '../../crypto/agreement.ts'
import { toHex } from '../../crypto/bytes.ts'
import { randomBytes } from '../../crypto/random.ts'
import { generateSigningKeyPair } from '../../crypto/signing.ts'
import { memberOf } from '../../protocol/belief.ts'
import { openEnvelope } from '../../protocol/envelope.ts'
import { deviceIdOf, type OrganizationId, parseOrganizationId } from '../../protocol/keys.ts'
import { apply, emptyState } from '../../protocol/state.ts'
import { addressesOf } from '../../registry/addresses.ts'
import { DEVICE } from '../../registry/device-record.ts'
import { standardRanges } from '../../registry/ranges.ts'
import { openDatabase } from '../../registry/store/database.ts'
import { openLevelStore } from '../../registry/store/level-store.ts'
import { systemClock } from '../../registry/system-clock.ts'
import { type Entrance, openEntrance, type RegistryChild, startChild } from './registry-child.ts'

export interface CrashOptions {
  readonly stateDirectory: string
  /** Enrolments that are begun with each life of the registry. */
  readonly enrolments: number
  /** Lives of the registry. */
  readonly times: number
  /** From 0 to 1: after what share of the enrolments the registry is killed. */
  readonly share: () => number
}

export interface Life {
  /** Enrolments acknowledged in it, and those begun and cut off by its end. */
  readonly acknowledged: number
  readonly cutOff: number
  /** Devices acknowledged until now: not in the store, or there with another address. */
  readonly lost: number
  /** Addresses or names that two devices have. */
  readonly twice: number
  /** Devices in the store. */
  readonly stored: number
}

/** Enrolments on their way at once. */
const AT_ONCE = 16

/** By device id: the addresses that the registry answered with. */
type Acknowledged = Map<string, string>

/** Lives of one registry in one state directory. Devices whose answer the kill cut off ask the next life again. */
export async function* crashRun(options: CrashOptions): AsyncIterable<Life> {
  const acknowledged: Acknowledged = new Map()
  let entrance: Entrance | undefined
  let waiting: readonly Applicant[] = []
  for (let life = 0; life < options.times; life++) {
    const child = await startChild(options.stateDirectory)
    entrance ??= await openEntrance(child)
    const before = acknowledged.size
    const fresh = Array.from({ length: options.enrolments }, newApplicant)
    const after = Math.max(1, Math.floor(options.share() * options.enrolments))
    waiting = await enrolUntilKilled(child, entrance, [...waiting, ...fresh], after, acknowledged)
    const found = await inspect(options.stateDirectory, entrance, acknowledged)
    yield { acknowledged: acknowledged.size - before, cutOff: waiting.length, ...found }
  }
}

/** Those that had asked and not been answered. */
async function enrolUntilKilled(
  child: RegistryChild,
  entrance: Entrance,
  applicants: readonly Applicant[],
  after: number,
  acknowledged: Acknowledged,
): Promise<readonly Applicant[]> {
  const client = new RegistryClient(child.url, () => systemClock.now(), randomBytes)
  await client.info()
  const cutOff: Applicant[] = []
  const queue = [...applicants]
  let count = 0
  let killed: Promise<void> | undefined
  const lane = async (): Promise<void> => {
    for (let by = queue.shift(); by !== undefined && killed === undefined; by = queue.shift()) {
      const addresses = await enrolled(client, by, entrance)
      if (addresses === undefined) cutOff.push(by)
      else acknowledged.set(deviceIdOf(by.deviceKey.publicKey), addresses)
      count += addresses === undefined ? 0 : 1
      if (count >= after) killed ??= child.kill()
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, lane))
  await (killed ?? child.kill())
  return cutOff
}

/** Undefined where no answer came. Throws where the registry refused. */
async function enrolled(
  client: RegistryClient,
  by: Applicant,
  { organization, registrationKey }: Entrance,
): Promise<string | undefined> {
  try {
    const { envelopes } = await client.enrol(by, { registrationKey })
    return addressesIn(envelopes, by, parseOrganizationId(organization))
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_REGISTRY') return undefined
    throw error
  }
}

function addressesIn(
  envelopes: readonly Uint8Array[],
  by: Applicant,
  organization: OrganizationId,
): string {
  const now = systemClock.now()
  const state = envelopes.reduce(
    (known, bytes) => apply(known, openEnvelope(bytes), now).state,
    emptyState(organization),
  )
  const member = memberOf(state, deviceIdOf(by.deviceKey.publicKey), now)
  if (member === undefined) throw new Error('what the registry issued makes nobody a member')
  return member.certificate.addresses.join()
}

async function inspect(
  stateDirectory: string,
  { organization }: Entrance,
  acknowledged: Acknowledged,
): Promise<Pick<Life, 'lost' | 'twice' | 'stored'>> {
  await using store = await openLevelStore(join(stateDirectory, 'store'))
  const database = openDatabase(store, { clock: systemClock, randomBytes })
  const id = parseOrganizationId(organization)
  const ranges = standardRanges(id)
  const stored = new Map<string, string>()
  const names = new Set<string>()
  for await (const { id: record, value } of database.list(DEVICE, { under: `${id}/` })) {
    const addresses = value.number === undefined ? '' : addressesOf(ranges, value.number).join()
    stored.set(record.slice(id.length + 1), addresses)
    names.add(value.name)
  }
  const lost = [...acknowledged].filter(([device, addresses]) => stored.get(device) !== addresses)
  const twice = 2 * stored.size - new Set(stored.values()).size - names.size
  return { lost: lost.length, twice, stored: stored.size }
}

/** With a name of its own: the registry looks for a free one otherwise, which grows with their number. */
function newApplicant(): Applicant {
  const deviceKey = generateSigningKeyPair<'device'>()
  return {
    deviceKey,
    wireguardKey: generateAgreementKeyPair(),
    name: `device-${toHex(deviceKey.publicKey.subarray(0, 8))}`,
    system: 'simulation',
  }
}
