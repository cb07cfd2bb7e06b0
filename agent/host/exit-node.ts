/** Exit node: sends this host's packets by an exit, and puts everything back. Rules carry a protocol number of ours, and
 *  routes are in a table of ours, so that nothing of anybody else's is touched. */
import { z } from 'zod'
import type { AddressFamily } from '../../protocol/address.ts'
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
  /** Makes it so; undefined puts everything back. Repeated, it changes nothing. Throws CommandError. */
  configure(wanted: ExitRouting | undefined): Promise<void>
}

/** What is there of one family, as lines of a batch without their verbs. */
interface Made {
  rules: readonly string[]
  routes: readonly string[]
}

const FAMILIES: readonly AddressFamily[] = [4, 6]

/** Removes what a crash left: of this agent, and of others whose interface is gone. Throws CommandError.
 *  @param isFirst false: only what it left itself, for another organization's rules may be in force */
export async function startExitNode(
  commands: Commands,
  listenPort: number,
  isFirst = true,
): Promise<ExitNode> {
  const table = exitTable(listenPort)
  for (const family of FAMILIES) await removeLeftovers(commands, table, family, isFirst)
  const made = new Map<AddressFamily, Made>(
    FAMILIES.map((family) => [family, { rules: [], routes: [] }]),
  )
  let working: Promise<void> = Promise.resolve()
  const configure = async (wanted: ExitRouting | undefined): Promise<void> => {
    for (const [family, has] of made) {
      const rules = wanted === undefined ? [] : numbered(exitRules(wanted, table, family))
      const routes = wanted === undefined ? [] : exitRoutes(wanted, table, family)
      await change(commands, table, family, has, { rules, routes })
    }
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
 *  come and the first to go: what carries the tunnel never meets it alone. */
async function change(
  commands: Commands,
  table: number,
  family: AddressFamily,
  has: Made,
  wants: Made,
): Promise<void> {
  const without = (all: readonly string[], some: readonly string[]): readonly string[] =>
    all.filter((line) => !some.includes(line))
  const isLeading = (rule: string): boolean => rule.includes(` lookup ${table} `)
  const removed = without(has.rules, wants.rules)
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
  has.rules = wants.rules
  has.routes = wants.routes
}

/** What names a route, for deleting it: of a default route no more than its table. */
function routeKey(route: string): string {
  return route
    .replace(/^(unreachable )?default .*(table \d+) .*$/, 'default $2')
    .replace(/ proto \d+$/, '')
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

const RULES = z.array(
  z.looseObject({
    priority: z.number(),
    protocol: z.union([z.string(), z.number()]).optional(),
    table: z.string().optional(),
  }),
)

/** A table whose default route is gone was that of an agent whose interface is gone. */
async function removeLeftovers(
  commands: Commands,
  own: number,
  family: AddressFamily,
  isFirst: boolean,
): Promise<void> {
  const text = await commands
    .run('ip', ['-json', `-${family}`, 'rule', 'show'])
    .catch((error: unknown) => {
      if (family === 6) return '[]'
      throw error
    })
  const ours = RULES.parse(JSON.parse(text.trim() || '[]')).filter(
    ({ protocol }) => String(protocol) === String(ROUTE_PROTOCOL),
  )
  const tables = new Set(
    ours.flatMap(({ table }) => (Number(table) >= exitTable(1) ? [Number(table)] : [])),
  )
  if (!isFirst && !tables.has(own)) return
  for (const table of tables) {
    if (table !== own && (await hasDevice(commands, family, table))) return
  }
  // Rules that lead to a table of ours first.
  const sorted = ours.toSorted(
    (a, b) => Number(tables.has(Number(b.table))) - Number(tables.has(Number(a.table))),
  )
  const lines = [
    ...sorted.map(({ priority }) => `rule delete priority ${priority} protocol ${ROUTE_PROTOCOL}`),
    ...[...new Set([...tables, own])].map((table) => `route flush table ${table}`),
  ]
  const input = `${lines.join('\n')}\n`
  // A table that was never made can't be flushed.
  await commands
    .run('ip', [`-${family}`, '-force', '-batch', '-'], { input })
    .catch((error: unknown) => {
      if (!(error instanceof CommandError) || error.code !== 'ERR_COMMAND_FAILED') throw error
    })
}

async function hasDevice(
  commands: Commands,
  family: AddressFamily,
  table: number,
): Promise<boolean> {
  const text = await commands
    .run('ip', [`-${family}`, 'route', 'show', 'table', String(table)])
    .catch(() => '')
  return /^default dev /m.test(text)
}
