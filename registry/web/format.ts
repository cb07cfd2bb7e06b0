/** Moments and codes as pages show them. */
import type { Seconds } from '../../protocol/time.ts'
import { type Html, html } from './html.ts'

const UNITS: readonly (readonly [name: string, seconds: number])[] = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
]

/** "3 hours ago", "in 20 minutes"; the exact moment on hovering. `never` for moment 0. */
export function when(moment: Seconds, now: Seconds): Html {
  if (moment === 0) return html`<span class="faint">never</span>`
  const iso = new Date(moment * 1000).toISOString()
  const exact = `${iso.slice(0, 16).replace('T', ' ')} UTC`
  const apart = Math.abs(moment - now)
  const span = duration(apart)
  const text = apart < 5 ? 'now' : moment > now ? `in ${span}` : `${span} ago`
  return html`<time datetime="${iso}" title="${exact}">${text}</time>`
}

function duration(seconds: number): string {
  // Rounded: a certificate of a day, a moment after it was issued, ends in a day.
  const [name, length] = UNITS.find(([, length]) => seconds >= 0.99 * length) ?? ['second', 1]
  const count = Math.round(seconds / length)
  return `${count} ${name}${count === 1 ? '' : 's'}`
}
