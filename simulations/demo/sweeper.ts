/** Sweeper: removes a folder once nobody holds the other end of its standard input any more.
 *
 *    sweeper.ts FOLDER */
import { rm } from 'node:fs/promises'

const [folder] = process.argv.slice(2)
if (folder === undefined) throw new Error('want the folder to remove')
const swept = async (): Promise<void> => {
  await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  process.exit(0)
}
process.stdin.on('error', () => undefined)
process.stdin.once('close', () => void swept())
process.stdin.resume()
