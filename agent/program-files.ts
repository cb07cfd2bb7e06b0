/** Program files: what is run or read beside this code. The sources lie in folders; a build (deploy/agent-program.ts)
 *  has all code in agent/ itself, JavaScript, and these files where the sources have them. */
import { extname } from 'node:path'

/** nexd's door. */
export const NEXD: URL = new URL('./nexd.js', import.meta.url)
/** WireGuard over TUN, for a thread of its own. */
export const TUN_THREAD: URL = new URL(
  `./tunnel/userspace/tun-thread${extname(import.meta.url)}`,
  import.meta.url,
)
export const LWIP: URL = new URL('./stack/lwip/lwip.wasm', import.meta.url)
