/** Relay rate: what a relay carries in a second, as operators write it (SPEC §12.5). */
import { MalformedError } from './errors.ts'
import type { RelayRate } from './relay-meter.ts'

/** Bytes a second of one Mbit/s. */
const MEGABIT = 125_000
/** Mbit/s: more than any machine relays. */
const MOST = 100_000

/** `total` or `total:member`, Mbit/s; a member may have half of the total where nothing is said. 0 carries
 *  nothing for others. Throws MalformedError. */
export function parseRelayRate(text: string): RelayRate {
  const [, whole, part] = /^(\d{1,6}(?:\.\d+)?)(?::(\d{1,6}(?:\.\d+)?))?$/.exec(text) ?? []
  const total = Number(whole)
  const member = part === undefined ? total / 2 : Number(part)
  if (whole !== undefined && total <= MOST && member <= total) {
    return { total: total * MEGABIT, member: member * MEGABIT }
  }
  throw new MalformedError(
    `relay rate "${text.slice(0, 40)}": want Mbit/s in all, or in all and of one member, such as 500 or 500:100; at most ${MOST}, and no member more than all`,
  )
}
