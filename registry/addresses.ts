/** Addresses of an organization: a device has a number, which is its IPv4 and its IPv6 address alike. */
import { z } from 'zod'
import {
  addressBytes,
  addressFamily,
  addressFromBytes,
  hostPrefix,
  type IpAddress,
  type Prefix,
  parseIpAddress,
  prefixAddress,
  prefixContains,
} from '../protocol/address.ts'
import { MalformedError } from '../protocol/errors.ts'
import type { OrganizationId } from '../protocol/keys.ts'
import type { Seconds } from '../protocol/time.ts'
import { highestNumberOf, type Ranges } from './ranges.ts'
import { Refused } from './refusal.ts'
import { collection } from './store/collection.ts'
import type { Transaction } from './store/database.ts'

/** Who has a number; or, after its device was removed, from when another may have it. */
export const ADDRESS = collection(
  'address',
  z.union([z.strictObject({ device: z.string() }), z.strictObject({ freeFrom: z.int() })]),
)

/** The /32 and the /128 of a number. */
export function addressesOf(ranges: Ranges, number: number): readonly Prefix[] {
  return ranges.map((range) => {
    const bytes = addressBytes(prefixAddress(range))
    const view = new DataView(bytes.buffer, bytes.byteOffset)
    const last = bytes.length - 4
    view.setUint32(last, view.getUint32(last) + number)
    return hostPrefix(addressFromBytes(bytes))
  })
}

/** The number that an address asked for stands for. Throws Refused (address-out-of-range). */
export function numberOf(ranges: Ranges, text: string): number {
  const address = parseRequested(text)
  const range = ranges[addressFamily(address) === 4 ? 0 : 1]
  if (prefixContains(range, hostPrefix(address))) {
    const number = lastBits(address) - lastBits(prefixAddress(range))
    const isOurs =
      number >= 1 &&
      number <= highestNumberOf(ranges) &&
      addressesOf(ranges, number).includes(hostPrefix(address))
    if (isOurs) return number
  }
  const [ipv4, ipv6] = ranges
  throw outOfRange(`address ${address} is not one of ${ipv4} (but its first) or of ${ipv6}`)
}

function lastBits(address: IpAddress): number {
  const bytes = addressBytes(address)
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(bytes.length - 4)
}

function parseRequested(text: string): IpAddress {
  try {
    return parseIpAddress(text)
  } catch (cause) {
    if (cause instanceof MalformedError) throw outOfRange(cause.message, cause)
    throw cause
  }
}

function outOfRange(detail: string, cause?: unknown): Refused {
  return new Refused('address-out-of-range', detail, { field: 'requestedAddress', cause })
}

export interface Allocation {
  readonly organization: OrganizationId
  readonly ranges: Ranges
  /** Device id. */
  readonly device: string
  /** The last number given out in order; the new one comes after it. */
  readonly last: number
  /** Numbers are 1 to this. */
  readonly highest: number
  readonly requested: number | undefined
  readonly now: Seconds
}

/** Gives a device a number nobody has, inside a transaction that reads and writes the organization's
 *  head. Throws Refused (address-not-free, addresses-exhausted). */
export async function allocate(transaction: Transaction, wanted: Allocation): Promise<number> {
  const number =
    wanted.requested ??
    (await nextInOrder(transaction, wanted)) ??
    (await anyReleased(transaction, wanted))
  if (number === undefined) {
    throw new Refused(
      'addresses-exhausted',
      `all ${wanted.highest} addresses of the organization are taken (remove devices)`,
    )
  }
  await checkFree(transaction, wanted, number)
  transaction.put(ADDRESS, idOf(wanted.organization, number), { device: wanted.device })
  return number
}

async function checkFree(
  transaction: Transaction,
  wanted: Allocation,
  number: number,
): Promise<void> {
  if (await isFree(transaction, wanted, number)) return
  const holder = await transaction.get(ADDRESS, idOf(wanted.organization, number))
  const why =
    holder !== undefined && 'freeFrom' in holder
      ? `belonged to a device that was removed: it is free from ${isoOf(holder.freeFrom)}`
      : 'belongs to another device'
  const [ipv4] = addressesOf(wanted.ranges, number)
  throw new Refused('address-not-free', `address ${ipv4} ${why}`, { field: 'requestedAddress' })
}

function isoOf(moment: number): string {
  return new Date(moment * 1000).toISOString()
}

/** Nobody gets the number before `freeFrom`: until then a certificate naming it may be believed. */
export function release(
  transaction: Transaction,
  organization: OrganizationId,
  number: number,
  freeFrom: Seconds,
): void {
  transaction.put(ADDRESS, idOf(organization, number), { freeFrom })
}

/** Asked-for numbers may lie ahead: they are stepped over. */
async function nextInOrder(
  transaction: Transaction,
  wanted: Allocation,
): Promise<number | undefined> {
  for (let number = wanted.last + 1; number <= wanted.highest; number++) {
    if (await isFree(transaction, wanted, number)) return number
  }
  return undefined
}

/** Only once the range has been used up. */
async function anyReleased(
  transaction: Transaction,
  { organization, now, highest }: Allocation,
): Promise<number | undefined> {
  const taken = await transaction.list(ADDRESS, { under: `${organization}/` })
  const found = taken.find(({ value }) => 'freeFrom' in value && value.freeFrom <= now)
  const number = found && Number(found.id.slice(organization.length + 1))
  return number !== undefined && number <= highest ? number : undefined
}

async function isFree(
  transaction: Transaction,
  { organization, device, now, highest }: Allocation,
  number: number,
): Promise<boolean> {
  const holder = await transaction.get(ADDRESS, idOf(organization, number))
  if (number > highest) return false
  if (holder === undefined) return true
  return 'device' in holder ? holder.device === device : holder.freeFrom <= now
}

function idOf(organization: OrganizationId, number: number): string {
  return `${organization}/${String(number).padStart(7, '0')}`
}
