/** Hosts hook: names in /etc/hosts, where nothing on the host can be told of a resolver for some domains only. */
import { access, constants } from 'node:fs/promises'
import { explain } from '../errors.ts'
import { ownerMark } from '../host/owner.ts'
import type { Hook } from './hook.ts'
import { changeHostsFile } from './hosts-file.ts'
import { withBlock } from './hosts-text.ts'

/** @param key names the agent; no two on a host have one */
export function hostsHook(key: string, path: string): Hook {
  const write = (lines: Parameters<typeof withBlock>[3]): Promise<void> =>
    changeHostsFile(path, (text) => withBlock(text, key, ownerMark(), lines))
  return {
    kind: 'hosts',
    obstacle: async () => {
      try {
        await access(path, constants.R_OK | constants.W_OK)
        return undefined
      } catch (error) {
        return explain(error)
      }
    },
    apply: ({ lines }) => write(lines),
    remove: async () => {
      try {
        await write([])
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
      }
    },
  }
}
