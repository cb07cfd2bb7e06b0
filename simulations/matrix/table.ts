/** Many runs as text: a cell for each pair and product, a line for each product. Pure. */
import { columns } from '../../agent/columns.ts'
import { median } from '../statistics.ts'
import type { Outcome } from './outcome.ts'
import { canBeDirect, type Pair } from './pairs.ts'

export interface Result extends Outcome {
  readonly product: string
  readonly pair: string
  readonly run: number
}

/** Runs of one pair differ by more than this: the cell says how much. Milliseconds. */
const SPREAD_MS = 500

/** `D` direct and `R` relayed at the end, the first answer in seconds, `>D` from when on it was direct where
 *  that came later; `fail 2/5` where runs did not connect. */
export function cell(runs: readonly Outcome[]): string {
  if (runs.length === 0) return '-'
  const connected = runs.filter(({ path }) => path !== 'failed')
  const failures = runs.length - connected.length
  const failed = failures === 0 ? '' : `fail ${failures}/${runs.length}`
  if (connected.length === 0) return failed
  const ways = [...new Set(connected.map(({ path }) => (path === 'direct' ? 'D' : 'R')))].toSorted()
  const firsts = defined(connected.map(({ firstMs }) => firstMs))
  const first = median(firsts)
  const [least, most] = [Math.min(...firsts), Math.max(...firsts)]
  const spread = most - least > SPREAD_MS ? ` (${seconds(least)}-${seconds(most)})` : ''
  const directs = defined(connected.map(({ directMs }) => directMs))
  const direct = median(directs)
  const later = directs.length > 0 && direct - first >= 10 ? ` >D ${seconds(direct)}` : ''
  return `${ways.join('/')} ${seconds(first)}${spread}${later}${failed === '' ? '' : `, ${failed}`}`
}

export function table(
  pairs: readonly Pair[],
  products: readonly string[],
  results: readonly Result[],
): string {
  const rows = pairs.map((pair) => [
    pair.name.replace('+', ' - '),
    ...products.map((product) => cell(runsOf(results, pair.name, product))),
  ])
  return columns(['A (pings) - B', ...products], rows)
}

/** A pair counts as connected where every run of it was; medians are of all runs. */
export function summaryTable(
  pairs: readonly Pair[],
  products: readonly string[],
  results: readonly Result[],
): string {
  const rows = products.map((product) => {
    const tried = pairs.filter(({ name }) => runsOf(results, name, product).length > 0)
    const isAll = (pair: Pair, are: (run: Outcome) => boolean): boolean =>
      runsOf(results, pair.name, product).every(are)
    const runs = results.filter((each) => each.product === product)
    const could = tried.filter(canBeDirect)
    const figure = (values: readonly (number | undefined)[]): string => {
      const known = defined(values)
      return known.length === 0 ? '-' : seconds(median(known))
    }
    return [
      product,
      `${tried.filter((pair) => isAll(pair, ({ path }) => path !== 'failed')).length} of ${tried.length}`,
      `${could.filter((pair) => isAll(pair, ({ path }) => path === 'direct')).length} of ${could.length}`,
      figure(runs.map(({ firstMs }) => firstMs)),
      figure(runs.map(({ directMs }) => directMs)),
      String(runs.reduce((sum, { lost }) => sum + lost, 0)),
    ]
  })
  const head = [
    'PRODUCT',
    'PAIRS CONNECTED',
    'DIRECT WHERE POSSIBLE',
    'FIRST PING S, MEDIAN',
    'DIRECT S, MEDIAN',
    'PINGS LOST AFTERWARDS',
  ]
  return columns(head, rows)
}

/** Pairs that a product left unconnected, or relayed where they could be direct, in some run. */
export function shortcomings(
  pairs: readonly Pair[],
  product: string,
  results: readonly Result[],
): readonly string[] {
  return pairs.flatMap((pair) => {
    const runs = runsOf(results, pair.name, product)
    const failed = runs.filter(({ path }) => path === 'failed').length
    const relayed = canBeDirect(pair) ? runs.filter(({ path }) => path === 'relayed').length : 0
    return [
      ...(failed > 0 ? [`${pair.name}: not connected in ${failed} of ${runs.length}`] : []),
      ...(relayed > 0 ? [`${pair.name}: still relayed in ${relayed} of ${runs.length}`] : []),
    ]
  })
}

function runsOf(results: readonly Result[], pair: string, product: string): readonly Result[] {
  return results.filter((each) => each.pair === pair && each.product === product)
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(2)
}

function defined(values: readonly (number | undefined)[]): readonly number[] {
  return values.filter((value) => value !== undefined)
}
