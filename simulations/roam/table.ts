/** Recoveries as text. Pure. */
import { columns } from '../../agent/columns.ts'
import { summary } from '../statistics.ts'

export interface Recovery {
  readonly product: string
  readonly event: string
  readonly pair: string
  readonly server: 'alive' | 'dead'
  readonly run: number
  /** Undefined: not within the time, or never connected before. */
  readonly recoveredMs: number | undefined
}

/** Median in seconds, the longest where it differs by a tenth of a second; `fail 1/3` where it did not. */
export function recoveryCell(runs: readonly Pick<Recovery, 'recoveredMs'>[]): string {
  if (runs.length === 0) return '-'
  const times = known(runs)
  const failed =
    times.length < runs.length ? `fail ${runs.length - times.length}/${runs.length}` : ''
  if (times.length === 0) return failed
  const { p50, max } = summary(times)
  const longest = max - p50 >= 100 ? ` (to ${seconds(max)})` : ''
  return `${seconds(p50)}${longest}${failed === '' ? '' : `, ${failed}`}`
}

export function recoveryTable(
  products: readonly string[],
  recoveries: readonly Recovery[],
): string {
  const lines = new Map(
    recoveries.map((each) => [`${each.event}\n${each.pair}\n${each.server}`, each]),
  )
  const rows = [...lines.values()].map(({ event, pair, server }) => [
    event,
    pair,
    server,
    ...products.map((product) =>
      recoveryCell(
        recoveries.filter(
          (each) =>
            each.product === product &&
            each.event === event &&
            each.pair === pair &&
            each.server === server,
        ),
      ),
    ),
  ])
  return columns(['EVENT', 'A - B', 'SERVER', ...products], rows)
}

/** A line for each product, server alive and dead: all events together. */
export function recoverySummary(
  products: readonly string[],
  recoveries: readonly Recovery[],
): string {
  const rows = products.flatMap((product) =>
    (['alive', 'dead'] as const).map((server) => {
      const runs = recoveries.filter((each) => each.product === product && each.server === server)
      const times = known(runs)
      const { p50, p95, max } = summary(times)
      const figures = times.length === 0 ? ['-', '-', '-'] : [p50, p95, max].map(seconds)
      return [product, server, `${times.length} of ${runs.length}`, ...figures]
    }),
  )
  return columns(['PRODUCT', 'SERVER', 'RECOVERED', 'MEDIAN S', 'P95 S', 'LONGEST S'], rows)
}

function known(runs: readonly Pick<Recovery, 'recoveredMs'>[]): readonly number[] {
  return runs.flatMap(({ recoveredMs }) => (recoveredMs === undefined ? [] : [recoveredMs]))
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(2)
}
