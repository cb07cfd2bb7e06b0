/** The table of `bench:userspace` over paths: a row for each path and direction, the products side by side, and how many
 *  times as much as each of the others the first carries. */
import { columns } from '../../agent/columns.ts'
import type { PathCell, PathFigures } from './userspace-paths.ts'

export function pathsTable(all: readonly PathFigures[]): string {
  const products = [...new Set(all.map(({ product }) => product))]
  const [first, ...others] = products
  const rows = new Map<string, PathFigures[]>()
  for (const figures of all) {
    const key = labels(figures).join()
    rows.set(key, [...(rows.get(key) ?? []), figures])
  }
  const header = [
    ...['RTT ms', 'loss %', 'streams', 'way'],
    ...products.flatMap((product) => [`${product}: Mbit/s`, 'µs', 'MB']),
    ...others.map((other) => `${first} : ${other}`),
  ]
  return columns(
    header,
    [...rows.values()].map((row) => [
      ...(row[0] === undefined ? [] : labels(row[0])),
      ...products.flatMap((product) => cells(row.find((each) => each.product === product))),
      ...others.map((other) => ratio(mbitsOf(row, first) / mbitsOf(row, other))),
    ]),
  )
}

function labels({ roundTripMs, lossPercent, streams, direction }: PathCell): string[] {
  return [`${roundTripMs}`, `${lossPercent}`, `${streams}`, direction]
}

function cells(figures: PathFigures | undefined): string[] {
  if (figures === undefined) return ['', '', '']
  const { mbits, microseconds, memory } = figures
  return [
    Number.isNaN(mbits) ? 'failed' : mbits.toFixed(mbits < 10 ? 1 : 0),
    microseconds.toFixed(1),
    memory.toFixed(0),
  ]
}

function mbitsOf(row: readonly PathFigures[], product: string | undefined): number {
  return row.find((each) => each.product === product)?.mbits ?? Number.NaN
}

function ratio(value: number): string {
  return Number.isFinite(value) ? value.toFixed(2) : ''
}
