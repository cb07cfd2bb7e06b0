/** Netlink command: what is said to the kernel instead of running a command, with that command's errors. */
import { NetlinkError } from './netlink.ts'
import { CommandError } from './run.ts'

/** Throws CommandError where the kernel refuses. */
export function asCommand<T>(act: () => T): T {
  try {
    return act()
  } catch (error) {
    throw error instanceof NetlinkError ? commandError(error) : error
  }
}

function commandError(cause: NetlinkError): CommandError {
  if (cause.code === 'EPERM') {
    const message = `${cause.message} (run as root, or with CAP_NET_ADMIN)`
    return new CommandError('ERR_COMMAND_PRIVILEGES', message, cause.message, { cause })
  }
  return new CommandError('ERR_COMMAND_FAILED', cause.message, cause.message, { cause })
}
