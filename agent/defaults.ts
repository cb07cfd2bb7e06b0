/** Where things are by default, for root and for everybody else. */
import { homedir } from 'node:os'
import { join } from 'node:path'

export const VERSION = '0.1.0'

/** WireGuard's UDP port; checks share it (SPEC §7.5). */
export const LISTEN_PORT = 51820
/** The mesh's TCP port. */
export const MESH_PORT = 51822

/** Mbit/s that a device relays for others, in all and for one of them. */
export const RELAY_RATE = '500:250'

export function isRoot(): boolean {
  return process.getuid?.() === 0
}

export function defaultSocket(): string {
  return isRoot() ? '/run/nexd.sock' : join(homedir(), '.nexodus', 'nexd.sock')
}
