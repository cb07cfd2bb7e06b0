/** Line process: a script of ours in a namespace, asked in lines of JSON, one errand after another. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Namespace } from './namespace.ts'

export interface LineProcess<Errand> extends Disposable {
  /** Rejects with what the script said, or where the process has gone. */
  ask(errand: Errand): Promise<unknown>
}

/** @param script it answers each line in order, with `{answer}` or `{error}`
 *  @param name of whom it plays, for messages */
export function startLineProcess<Errand>(
  at: Namespace,
  script: URL,
  name: string,
): LineProcess<Errand> {
  const child = spawn('ip', ['netns', 'exec', at.name, process.execPath, script.pathname], {
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
    for (const each of waiting) each.reject(new Error(`${name} has gone`))
  })
  return {
    ask: (errand) => {
      const said = Promise.withResolvers<unknown>()
      waiting.push(said)
      child.stdin.write(`${JSON.stringify(errand)}\n`)
      return said.promise
    },
    [Symbol.dispose]: () => void child.kill('SIGKILL'),
  }
}
