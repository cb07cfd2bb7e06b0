/** Build: the agent as it is deployed.
 *
 *    npm run build        dist/current/agent/nexd.js and nexctl.js
 *
 *  `dist/current` changes in one step, and a daemon that runs goes on with the files that it was started from: those
 *  of the build before are kept until there is another. */
import { readdir, readlink, rename, rm, symlink } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { agentProgram, DIST } from './agent-program.ts'

const CURRENT = join(DIST, 'current')

const before = await readlink(CURRENT).catch(() => undefined)
const { key } = await agentProgram()
if (key !== before) {
  const coming = join(DIST, `current-${key}`)
  await rm(coming, { force: true })
  await symlink(key, coming)
  await rename(coming, CURRENT)
  await removeOthers([key, before])
}
process.stdout.write(`${relative(process.cwd(), join(CURRENT, 'agent'))}/nexd.js and nexctl.js\n`)

async function removeOthers(kept: readonly (string | undefined)[]): Promise<void> {
  for (const entry of await readdir(DIST)) {
    // Others are being made, or are no build.
    const isOld = /^[0-9a-f]{16}$/.test(entry) && !kept.includes(entry)
    if (isOld) await rm(join(DIST, entry), { recursive: true, force: true })
  }
}
