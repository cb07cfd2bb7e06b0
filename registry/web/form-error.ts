/** What is wrong with a form, for its page. */
import { ProblemError } from '../problem.ts'
import { sentence } from './layout.ts'

/** Throws what is not about the form. */
export function formError(error: unknown): string {
  const isTheirs = error instanceof ProblemError && [400, 409, 422].includes(error.status)
  if (isTheirs) return sentence(error.message)
  throw error
}
