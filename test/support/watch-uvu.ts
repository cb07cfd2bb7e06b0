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

// Without it Node 24.21 ends by a clean-up that may spin for ever after the last rule (Environment::CleanupHandles waits
// for a request that has ended, one run of sixty of the proxy's listeners under load). nexd and the registry exit so, too.
process.once('beforeExit', () => process.exit())
