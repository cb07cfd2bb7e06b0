/** Wording: lengths of time, round-trip times and paths as sentences have them. */
import { formatEndpoint } from '../../protocol/address.ts'
import type { Evidence } from '../../protocol/evidence.ts'

const UNITS = [
  [86_400, 'd'],
  [3600, 'h'],
  [60, 'min'],
] as const

/** `4 s`, `3 min`, `2 h`, `5 d`. */
export function duration(ms: number): string {
  const seconds = Math.round(Math.abs(ms) / 1000)
  const unit = UNITS.find(([length]) => seconds >= 2 * length)
  return unit === undefined ? `${seconds} s` : `${Math.floor(seconds / unit[0])} ${unit[1]}`
}

export function milliseconds(us: number): string {
  return `${(us / 1000).toFixed(1)} ms`
}

/** How one side reaches the other now: `directly at 192.0.2.1:51820 (12.0 ms)`. */
export function reachedBy({ path, relay }: Evidence, peer: string): string {
  const took = path.roundTripUs === undefined ? '' : ` (${milliseconds(path.roundTripUs)})`
  if (path.phase === 'direct') {
    const at = path.endpoint === undefined ? '' : ` at ${formatEndpoint(path.endpoint)}`
    return `directly${at}${took}`
  }
  if (path.phase !== 'relay') return 'by no path'
  const [name] = relay.names
  if (name === undefined) return `by a relay${took}`
  if (name === peer) return `over its own TCP connection${took}`
  return `by the relay ${name === 'registry' ? 'of the registry' : name}${took}`
}
