/** Which size to try next on a path (RFC 8899 §5.3), and which to use meanwhile. Pure. */
import { roundedMtu, usualMtu } from '../tunnel/mtu.ts'

/** BASE_PLPMTU: in WireGuard's datagram over IPv6 the 1280 bytes that every IPv6 path carries. */
const BASE_MTU = 1200
/** MIN_PLPMTU: in WireGuard's datagram over IPv4 less than the 576 bytes that every host takes (RFC 791). */
export const LEAST_MTU = 512
/** Sizes closer than this are not told apart: WireGuard fills packets up to a multiple of it. */
const STEP = 16

/** Of one path: see PathFinding. */
export interface Findings {
  readonly maxPlpmtu: number
  readonly confirmed: number
  readonly failed: number
}

/** The next size to try; undefined: nothing is left, larger than what is confirmed, that has not failed. */
export function nextSize(found: Findings, most: number): number | undefined {
  const { maxPlpmtu, confirmed, failed } = found
  if (confirmed === 0) return lowSizes(found, most).find((size) => size < failed)
  const usual = Math.min(usualMtu(most), maxPlpmtu)
  const whole = [maxPlpmtu, usual].find((size) => size > confirmed && size < failed)
  if (whole !== undefined) return whole
  // Between the usual size and that of jumbo frames there are hardly any links.
  if (confirmed >= usual) return undefined
  const middle = confirmed + roundedMtu(Math.max(STEP, (failed - confirmed) / 2), Infinity)
  return middle < failed ? middle : undefined
}

/** PLPMTU: what is confirmed; before that what is usual, or where that failed what is sure. */
export function toldMtu(found: Findings | undefined, most: number): number {
  if (found === undefined) return usualMtu(most)
  if (found.confirmed > 0) return found.confirmed
  const sizes = lowSizes(found, most)
  return sizes.find((size) => size < found.failed) ?? Math.min(...sizes)
}

/** Before any is confirmed, in the order in which they are tried. */
function lowSizes({ maxPlpmtu }: Findings, most: number): readonly number[] {
  return [usualMtu(most), BASE_MTU, LEAST_MTU].map((size) => Math.min(size, maxPlpmtu))
}
