/** No commands: of a host on which the agent runs none, whatever is installed. What it would ask them it reads from
 *  /proc, as where they are missing. */
import { type Commands, missingCommand } from './run.ts'

export const noCommands: Commands = {
  run: async (command) => {
    throw missingCommand(command, undefined)
  },
  require: async (command) => {
    throw missingCommand(command, undefined)
  },
  start: (command) => {
    throw missingCommand(command, undefined)
  },
}
