/** Which ports are probed. */
import { LEAST_PORT } from './limits.ts'

const BYTES = 4

/** So many ports from LEAST_PORT to 65535, all different, in random order.
 *  @param random bytes of a generator that nobody can foresee */
export function randomPorts(
  count: number,
  random: (length: number) => Uint8Array,
): readonly number[] {
  const bytes = random(count * BYTES)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  // The first steps of Fisher and Yates' shuffle, over a list of which only what was moved is kept.
  const moved = new Map<number, number>()
  const all = 65536 - LEAST_PORT
  return Array.from({ length: count }, (_, index) => {
    const chosen = index + (view.getUint32(index * BYTES) % (all - index))
    const port = moved.get(chosen) ?? chosen
    moved.set(chosen, moved.get(index) ?? index)
    return LEAST_PORT + port
  })
}
