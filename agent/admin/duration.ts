/** Lengths of time as people write and read them: `90s`, `10m`, `12h`, `30d`. */
import { InvalidArgumentError } from 'commander'

/** Seconds, the largest first. */
const UNITS = { d: 86_400, h: 3600, m: 60, s: 1 } as const

/** Reads a length of time as seconds, and `absent` as 0. The reader throws InvalidArgumentError.
 *  @param absent the word that takes a rule away */
export function durationOr(absent: string): (text: string) => number {
  return (text) => {
    if (text === absent) return 0
    const [, count, unit] = /^([1-9]\d{0,8})([dhms])$/.exec(text) ?? []
    const seconds = Object.entries(UNITS).find(([name]) => name === unit)?.[1]
    if (count !== undefined && seconds !== undefined) return Number(count) * seconds
    throw new InvalidArgumentError(`want a number with d, h, m or s, as 12h; or ${absent}`)
  }
}

/** In the largest unit that tells it whole. */
export function durationText(seconds: number): string {
  const [unit, of] = Object.entries(UNITS).find(([, each]) => seconds % each === 0) ?? ['s', 1]
  return `${seconds / of}${unit}`
}
