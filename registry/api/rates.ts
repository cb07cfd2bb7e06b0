/** Rate classes of routes: what one client address may ask for, by what it costs and what could be guessed. */
import type { RequestHandler } from 'express'
import { type RateLimit, rateLimit } from '../rate-limit.ts'

/** An address may be the NAT of a whole site. */
const CLASSES = {
  /** Reads and small changes by people and their programs. */
  people: [{ windowSeconds: 60, limit: 600 }],
  /** What a device asks before it is let in, again and again until somebody decides. */
  asking: [{ windowSeconds: 60, limit: 600 }],
  /** Guessing keys and tokens is out of reach; failures are limited so that the attempts cost us little. */
  enrolling: [
    { windowSeconds: 60, limit: 6000 },
    { windowSeconds: 60, limit: 120, failuresOnly: true },
  ],
  /** Connections that stay open. */
  streaming: [{ windowSeconds: 60, limit: 120 }],
} as const satisfies Record<string, readonly RateLimit[]>

export type RateClass = keyof typeof CLASSES

/** One counter a class, shared by its routes. */
export function rateLimiters(): (rate: RateClass) => readonly RequestHandler[] {
  const made = new Map<RateClass, readonly RequestHandler[]>()
  return (rate) => {
    const known = made.get(rate) ?? CLASSES[rate].map((limit) => rateLimit(limit))
    made.set(rate, known)
    return known
  }
}
