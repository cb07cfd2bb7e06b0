/** Token bucket: so many at once, so many a second. */

export interface Bucket {
  /** False where the rate is exceeded. `nowMs` must not go back. */
  take(nowMs: number): boolean
}

export function newBucket(burst: number, perSecond: number): Bucket {
  let tokens = burst
  let lastMs = -Infinity
  return {
    take: (nowMs) => {
      tokens = Math.min(burst, tokens + ((nowMs - lastMs) * perSecond) / 1000)
      lastMs = nowMs
      if (tokens < 1) return false
      tokens -= 1
      return true
    },
  }
}
