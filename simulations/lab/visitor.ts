/** Speaks to a person's process (person.ts) in a namespace. */
import { type LineProcess, startLineProcess } from './line-process.ts'
import type { Namespace } from './namespace.ts'
import type { Errand } from './person.ts'

/** `ask` rejects with what the page or the API said. */
export type Visitor = LineProcess<Errand>

export function startVisitor(at: Namespace): Visitor {
  return startLineProcess(at, new URL('person.ts', import.meta.url), 'the person')
}
