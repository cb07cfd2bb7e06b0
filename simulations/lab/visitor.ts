/** Speaks to a person's process (person.ts) in a namespace. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Namespace } from './namespace.ts'
import type { Errand } from './person.ts'

export interface Visitor extends Disposable {
  /** Throws with what the page or the API said. */
  ask(errand: Errand): Promise<unknown>
}

export function startVisitor({ name }: Namespace): Visitor {
  const script = new URL('person.ts', import.meta.url).pathname
  const child = spawn('ip', ['netns', 'exec', name, process.execPath, script], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const waiting: PromiseWithResolvers<unknown>[] = []
  createInterface({ input: child.stdout }).on('line', (line) => {
    const answer = JSON.parse(line) as { answer?: unknown; error?: string }
    const next = waiting.shift()
    if (answer.error !== undefined) next?.reject(new Error(answer.error))
    else next?.resolve(answer.answer)
  })
  child.once('close', () => {
    for (const each of waiting) each.reject(new Error('the person has gone'))
  })
  return {
    ask: (errand) => {
      const answer = Promise.withResolvers<unknown>()
      waiting.push(answer)
      child.stdin.write(`${JSON.stringify(errand)}\n`)
      return answer.promise
    },
    [Symbol.dispose]: () => void child.kill('SIGKILL'),
  }
}
