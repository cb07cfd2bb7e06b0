/** Exit leftovers: rules and routes to an exit that agents left which were ended by force. */
import type { AddressFamily } from '../../protocol/address.ts'
import { readOwnRules } from './exit-state.ts'
import { exitTable } from './policy-routing.ts'
import { ROUTE_PROTOCOL } from './routes.ts'
import { CommandError, type Commands } from './run.ts'

/** A table whose default route is gone was that of an agent whose interface is gone. */
export async function removeLeftovers(
  commands: Commands,
  own: number,
  family: AddressFamily,
  isFirst: boolean,
): Promise<void> {
  const ours = await readOwnRules(commands, family)
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
