/** Coming tunnel: one that is still being started. The code that uses it is loaded meanwhile, and paths are
 *  sought; what they want of it is done once it is configured. */
import type { Tunnel } from './backend.ts'

/** Owns the tunnel from now on; where it could not be started `configure` throws why, and nothing else does.
 *  `kind` is known when `configure` has resolved. */
export function comingTunnel(interfaceName: string, started: Promise<Tunnel>): Tunnel {
  const tunnel = started.catch(() => undefined)
  const configured = Promise.withResolvers<Tunnel | undefined>()
  let known: Tunnel | undefined
  void tunnel.then((found) => {
    known = found
    if (found === undefined) configured.resolve(undefined)
  })
  return {
    get kind() {
      if (known === undefined) throw new Error(`${interfaceName} is not started yet`)
      return known.kind
    },
    interfaceName,
    ended: tunnel.then((found) => found?.ended),
    configure: async (wanted) => {
      const found = await started
      // The tunnel makes changes in the order in which they are asked for: the peers come first.
      const done = found.configure(wanted)
      configured.resolve(found)
      await done
    },
    setEndpoint: async (key, endpoint) => (await configured.promise)?.setEndpoint(key, endpoint),
    setKeepalive: async (key, seconds) => (await configured.promise)?.setKeepalive(key, seconds),
    restartPeer: async (key) => (await configured.promise)?.restartPeer(key),
    stats: async () => (await (await configured.promise)?.stats()) ?? [],
    [Symbol.asyncDispose]: async () => {
      const found = await tunnel
      configured.resolve(undefined)
      await found?.[Symbol.asyncDispose]()
    },
  }
}
