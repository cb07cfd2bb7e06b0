/** Preloaded into every test process: who imports uvu gets watched-uvu.ts, which counts the tests declared. */
import { registerHooks } from 'node:module'

const WATCHED = new URL('watched-uvu.ts', import.meta.url).href

registerHooks({
  resolve(specifier, context, next) {
    return specifier === 'uvu' && context.parentURL !== WATCHED
      ? { url: WATCHED, format: 'module-typescript', shortCircuit: true }
      : next(specifier, context)
  },
})
