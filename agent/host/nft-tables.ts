/** nft tables: what every table of ours in the family inet has in common: its name, its removal, and what becomes of those
 *  that a crash left. */
import { ownerIn } from './owner.ts'
import type { Commands } from './run.ts'

/** Of what an interface's name may hold, nft takes all but + and = in the name of a table. */
export function tableOfInterface(prefix: string, interfaceName: string): string {
  return `${prefix}${interfaceName.replaceAll('+', '_2b').replaceAll('=', '_3d')}`
}

/** Adding before deleting makes it hold whether or not the table is there. */
export function removalText(table: string): string {
  return `table inet ${table}\ndelete table inet ${table}\n`
}

/** Is there such a table in the family inet? Throws CommandError. */
export async function isTable(commands: Pick<Commands, 'run'>, table: string): Promise<boolean> {
  const tables = await commands.run('nft', ['list', 'tables', 'inet'])
  return tables.split('\n').includes(`table inet ${table}`)
}

/** Removes tables of agents that died with an interface of another name. Throws CommandError.
 *  @param chain has the owner's mark */
export async function removeTablesOfTheDead(
  commands: Pick<Commands, 'run'>,
  prefix: string,
  own: string,
  chain: string,
): Promise<void> {
  const tables = await commands.run('nft', ['list', 'tables', 'inet'])
  for (const line of tables.split('\n')) {
    const table = line.slice('table inet '.length)
    if (!table.startsWith(prefix) || table === own) continue
    const rules = await commands.run('nft', ['list', 'chain', 'inet', table, chain])
    if (ownerIn(rules) !== 'gone') continue
    await commands.run('nft', ['-f', '-'], { input: removalText(table) })
  }
}
