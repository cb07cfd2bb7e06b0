/** Loaded into an agent before all else: takes a profile of its processor time while it idles, and writes it for
 *  Chromium's tools. It begins with SIGUSR2; `PROFILE` is the folder and the seconds that it lasts. */
import { writeFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const [folder = '', lengthS = '0'] = (process.env['PROFILE'] ?? '').split(' ')

async function take(): Promise<void> {
  const session = new Session()
  session.connect()
  await session.post('Profiler.enable')
  await session.post('Profiler.start')
  await sleep(Number(lengthS) * 1000, undefined, { ref: false })
  const { profile } = await session.post('Profiler.stop')
  writeFileSync(join(folder, `${process.pid}.cpuprofile`), JSON.stringify(profile))
  session.disconnect()
}

process.on('SIGUSR2', () => void take())
