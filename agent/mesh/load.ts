/** Loads the mesh piece by piece: libp2p is a quarter of a second of code, and connectivity checks that
 *  arrive meanwhile must be answered between the pieces. */
import { setImmediate as breath } from 'node:timers/promises'

export async function loadMesh(): Promise<typeof import('./mesh.ts')> {
  const pieces = [
    () => import('@libp2p/crypto/keys'),
    () => import('@libp2p/utils'),
    () => import('@chainsafe/libp2p-noise'),
    () => import('@libp2p/circuit-relay-v2'),
    () => import('@libp2p/gossipsub'),
    () => import('@libp2p/kad-dht'),
    () => import('libp2p'),
  ]
  for (const load of pieces) {
    await load()
    await breath()
  }
  return import('./mesh.ts')
}
