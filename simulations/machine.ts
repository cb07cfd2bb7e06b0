/** What figures were measured on. */
import { cpus, loadavg } from 'node:os'

export function machine(): string {
  const all = cpus()
  return `${all.length} × ${all[0]?.model ?? 'unknown processor'}, load ${loadavg()[0]?.toFixed(1)}`
}
