/** Unprivileged: words before a command that take every right from it. */
import { spawnSync } from 'node:child_process'

export const NOBODY = 65_534
const CAPLESS = ['--no-new-privs', '--bounding-set=-all', '--inh-caps=-all', '--ambient-caps=-all']
const AS_NOBODY = ['setpriv', '--reuid', `${NOBODY}`, '--regid', `${NOBODY}`, '--clear-groups']
const isRoot = process.getuid?.() === 0

/** As nobody, without capabilities, when this process is root; else as whom it is. */
export const UNPRIVILEGED: readonly string[] = isRoot ? [...AS_NOBODY, ...CAPLESS] : []

/** Besides, where no user namespace can be made (user_namespaces(7)): by the limit of one that holds the command, or
 *  because the host lets nobody make any. Does not start the command where one can. */
export function withoutUserNamespaces(): readonly string[] {
  const drop = ['setpriv', ...CAPLESS]
  const proven = [...drop, 'sh', '-c', REFUSE_IF_NOT, 'sh']
  const own = [...UNPRIVILEGED, 'unshare', '--user', 'true']
  const isOff = spawnSync(own[0] ?? '', own.slice(1), { stdio: 'ignore' }).status !== 0
  if (isOff) return [...UNPRIVILEGED, ...proven]
  const nobody = isRoot ? [...AS_NOBODY, '--inh-caps=-all'] : []
  return [...nobody, 'unshare', '--user', '--map-current-user', '--keep-caps', ...limited(proven)]
}

const REFUSE_IF_NOT =
  'if unshare --user true 2>/dev/null; then echo "user namespaces are on" >&2; exit 9; fi; exec "$@"'

function limited(command: readonly string[]): readonly string[] {
  return ['sh', '-c', 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"', 'sh', ...command]
}
