/** Exit node: sends this host's packets by an exit, and puts everything back. Rules carry a protocol number of ours, and
 *  routes are in a table of ours, so that nothing of anybody else's is touched. Others do touch ours: systemd-networkd, for
 *  one, removes rules that are not its own. So what is there is read each time. */
import type { AddressFamily } from '../../protocol/address.ts'
import { removeLeftovers } from './exit-leftovers.ts'
import { type ExitState, readExitState, routeKey } from './exit-state.ts'
import {
  type ExitRouting,
  exitRoutes,
  exitRules,
  exitTable,
  FIRST_PRIORITY,
} from './policy-routing.ts'
import { ROUTE_PROTOCOL } from './routes.ts'
import { CommandError, type Commands } from './run.ts'

export interface ExitNode extends AsyncDisposable {
  /** Makes it so, whatever became of what was made before; undefined puts everything back. Runs nothing where nothing is
   *  wanted and nothing was made. Throws CommandError when all was tried. */
  configure(wanted: ExitRouting | undefined): Promise<void>
}

const FAMILIES: readonly AddressFamily[] = [4, 6]

/** Removes what a crash left: of this agent, and of others whose interface is gone. Throws CommandError.
 *  @param isFirst false: only what it left itself, for another organization's rules may be in force
 *  @param isWanted what it left itself stays in force till it is configured: not for a moment do packets leave in clear */
export async function startExitNode(
  commands: Commands,
  listenPort: number,
  isFirst = true,
  isWanted = false,
): Promise<ExitNode> {
  const table = exitTable(listenPort)
  /** Rules that may be there, by family; empty: neither they nor routes are. */
  const made = new Map<AddressFamily, ReadonlySet<string>>()
  for (const family of FAMILIES) {
    const { rules } = isWanted ? await readExitState(commands, table, family) : { rules: [] }
    if (rules.some((rule) => leadsTo(table, rule))) made.set(family, new Set(rules))
    else await removeLeftovers(commands, table, family, isFirst)
  }
  let working: Promise<void> = Promise.resolve()
  const configure = async (wanted: ExitRouting | undefined): Promise<void> => {
    const failures: unknown[] = []
    for (const family of wanted === undefined ? [...made.keys()] : FAMILIES) {
      const rules = wanted === undefined ? [] : numbered(exitRules(wanted, table, family))
      const routes = wanted === undefined ? [] : exitRoutes(wanted, table, family)
      const own = new Set([...(made.get(family) ?? []), ...rules])
      made.set(family, own)
      try {
        await change(commands, table, family, own, { rules, routes })
        if (wanted === undefined) made.delete(family)
        else made.set(family, new Set(rules))
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  }
  const queued = (wanted: ExitRouting | undefined): Promise<void> => {
    const done = working.then(() => configure(wanted))
    working = done.catch(() => undefined)
    return done
  }
  return { configure: queued, [Symbol.asyncDispose]: () => queued(undefined) }
}

function numbered(rules: readonly string[]): readonly string[] {
  return rules.map(
    (rule, index) => `priority ${FIRST_PRIORITY + index} ${rule} protocol ${ROUTE_PROTOCOL}`,
  )
}

/** Routes before the rules that lead to them, and after them when they go; the rule that leads to the table is the last to
 *  come and the first to go: what carries the tunnel never meets it alone.
 *  @param own rules that may be removed */
async function change(
  commands: Commands,
  table: number,
  family: AddressFamily,
  own: ReadonlySet<string>,
  wants: ExitState,
): Promise<void> {
  const has = await readExitState(commands, table, family)
  const without = (all: readonly string[], some: readonly string[]): readonly string[] =>
    all.filter((line) => !some.includes(line))
  const isLeading = (rule: string): boolean => leadsTo(table, rule)
  const removed = without(has.rules, wants.rules).filter((rule) => own.has(rule) || isLeading(rule))
  const added = without(wants.rules, has.rules)
  // Routes that are replaced have the same key and another tail.
  const gone = without(has.routes.map(routeKey), wants.routes.map(routeKey))
  const lines = [
    ...without(wants.routes, has.routes).map((route) => `route replace ${route}`),
    ...added.filter((rule) => !isLeading(rule)).map((rule) => `rule add ${rule}`),
    ...added.filter(isLeading).map((rule) => `rule add ${rule}`),
    ...removed.filter(isLeading).map((rule) => `rule delete ${rule}`),
    ...removed.filter((rule) => !isLeading(rule)).map((rule) => `rule delete ${rule}`),
    ...gone.map((route) => `route delete ${route}`),
  ]
  if (lines.length > 0) await batch(commands, family, lines)
}

function leadsTo(table: number, rule: string): boolean {
  return rule.includes(` lookup ${table} `)
}

/** IPv6 may be switched off: then there is nothing of it to route. */
async function batch(
  commands: Commands,
  family: AddressFamily,
  lines: readonly string[],
): Promise<void> {
  try {
    const input = `${lines.join('\n')}\n`
    await commands.run('ip', [`-${family}`, '-force', '-batch', '-'], { input })
  } catch (error) {
    const isOff =
      error instanceof CommandError &&
      family === 6 &&
      /not supported|disabled|Permission denied/i.test(error.stderr)
    if (!isOff) throw error
  }
}
