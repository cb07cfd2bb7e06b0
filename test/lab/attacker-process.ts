/** The attacker's process in a namespace, spoken to in lines. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Namespace } from '../../simulations/lab/namespace.ts'
import type { Errand } from './errands.ts'

export interface AttackerProcess {
  /** Rejects where the errand failed. */
  ask(errand: Errand): Promise<unknown>
  stop(): void
}

export function startAttacker({ name }: Namespace): AttackerProcess {
  const script = new URL('attacker.ts', import.meta.url).pathname
  const child = spawn('ip', ['netns', 'exec', name, process.execPath, script], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const waiting: PromiseWithResolvers<unknown>[] = []
  createInterface({ input: child.stdout }).on('line', (line) => {
    const said = JSON.parse(line) as { answer?: unknown; error?: string }
    const next = waiting.shift()
    if (said.error === undefined) next?.resolve(said.answer)
    else next?.reject(new Error(said.error))
  })
  child.once('close', () => {
    for (const each of waiting) each.reject(new Error('the attacker has gone'))
  })
  return {
    ask: (errand) => {
      const said = Promise.withResolvers<unknown>()
      waiting.push(said)
      child.stdin.write(`${JSON.stringify(errand)}\n`)
      return said.promise
    },
    stop: () => void child.kill('SIGKILL'),
  }
}
