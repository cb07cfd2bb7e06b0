/** The attacker's process in a namespace, spoken to in lines. */
import { type LineProcess, startLineProcess } from '../../simulations/lab/line-process.ts'
import type { Namespace } from '../../simulations/lab/namespace.ts'
import type { Errand } from './errands.ts'

export type AttackerProcess = LineProcess<Errand>

export function startAttacker(at: Namespace): AttackerProcess {
  return startLineProcess(at, new URL('attacker.ts', import.meta.url), 'the attacker')
}
