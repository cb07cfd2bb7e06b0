/** Options of a command line, as its shape wants them. */
import { type Command, InvalidArgumentError } from 'commander'
import type { z } from 'zod'

/** Ends the process where an option does not fit, and says which, and why. */
export function readOptions<T>(command: Command, shape: z.ZodType<T>): T {
  const read = shape.safeParse(command.parse().opts())
  if (read.success) return read.data
  const problems = read.error.issues.map(({ path, message }) => {
    const [name] = path
    const value = name === undefined ? '' : ` "${String(command.opts()[String(name)])}"`
    return name === undefined ? message : `--${String(name)}${value}: ${message}`
  })
  return command.error(`error: ${problems.join('; ')}`, { exitCode: 2 })
}

/** For an option: what the parser throws is told with the option's name. */
export function parsed<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text)
    } catch (error) {
      throw new InvalidArgumentError(error instanceof Error ? error.message : String(error))
    }
  }
}
