/** Place: where on the host a further organization is, from where the first one is. Pure. */
import { join } from 'node:path'
import { OperatorError } from '../errors.ts'

/** Where the agent's first organization is, as `nexd up` was told. */
export interface FirstPlace {
  readonly stateDir: string
  readonly interfaceName: string
  readonly listenPort: number
  readonly meshListen: readonly string[]
}

export interface Place {
  readonly folder: string
  readonly socket: string
  readonly interfaceName: string
  readonly listenPort: number
  readonly meshListen: readonly string[]
}

export const PLACE_LIMITS = {
  /** Further organizations: each has a resolver, of which a host has eight places (names/server.ts). */
  organizations: 7,
  /** Ports between those of two: WireGuard's, that of checks, the mesh's, and room. */
  ports: 10,
  /** Characters of an interface's name (IFNAMSIZ without its end). */
  interfaceName: 15,
  /** Bytes of a socket's path (unix(7), sun_path without its end). */
  socketPath: 107,
} as const

/** Of its state. */
export function folderOf({ stateDir }: Pick<FirstPlace, 'stateDir'>, label: string): string {
  return join(stateDir, 'organizations', label)
}

/** @param slot 1 for the first further one. Throws OperatorError where there is no such place. */
export function placeOf(first: FirstPlace, label: string, slot: number): Place {
  const folder = folderOf(first, label)
  const socket = join(folder, 'nexd.sock')
  if (Buffer.byteLength(socket) > PLACE_LIMITS.socketPath) {
    throw new OperatorError(
      'ERR_USAGE',
      `socket path ${socket} has ${Buffer.byteLength(socket)} bytes, at most ${PLACE_LIMITS.socketPath} are possible (choose a shorter --label or --state-dir)`,
    )
  }
  const suffix = `-${slot}`
  return {
    folder,
    socket,
    interfaceName: `${first.interfaceName.slice(0, PLACE_LIMITS.interfaceName - suffix.length)}${suffix}`,
    listenPort: portOf(first.listenPort, slot),
    meshListen: first.meshListen.map((multiaddr) =>
      multiaddr.replace(/\/tcp\/(\d+)/g, (_, port: string) => `/tcp/${portOf(Number(port), slot)}`),
    ),
  }
}

/** Port 0 is chosen by the system. */
function portOf(port: number, slot: number): number {
  const moved = port === 0 ? 0 : port + slot * PLACE_LIMITS.ports
  if (moved <= 65_534) return moved
  throw new OperatorError(
    'ERR_USAGE',
    `port ${moved} of the organization is beyond 65534 (start nexd with a lower --listen-port and --mesh-listen)`,
  )
}

/** The lowest that is free. */
export function freeSlot(taken: readonly number[]): number {
  let slot = 1
  while (taken.includes(slot)) slot++
  return slot
}

/** A label for a registry, and no other's. */
export function freeLabel(registry: string, taken: readonly string[]): string {
  const base =
    new URL(registry).hostname
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, '-')
      .slice(0, 20)
      .replaceAll(/^-|-$/g, '') || 'organization'
  let label = base
  for (let count = 2; taken.includes(label); count++) label = `${base}-${count}`
  return label
}
