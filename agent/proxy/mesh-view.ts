/** Mesh view: what the proxy asks about the organization, and how it dials into it. */
import { isIP } from 'node:net'
import { type IpAddress, parseIpAddress } from '../../protocol/address.ts'
import type { Clock } from '../../protocol/clock.ts'
import { SocketError } from '../stack/socket-error.ts'
import type { Stack } from '../stack/stack.ts'
import type { TcpConnection } from '../stack/tcp-connection.ts'
import { opened } from './opened.ts'

export interface MeshView {
  /** Of the device of this name, those in the mesh; none: there is no such device. */
  resolve(name: string): readonly IpAddress[]
  /** Of a name in a domain whose resolvers the organization names; none: nobody knows it. Never rejects. */
  lookUp(name: string): Promise<readonly IpAddress[]>
  /** Of the device with this address. */
  nameOf(address: IpAddress): string | undefined
  /** Does a packet to this address go into the mesh? */
  isOfMesh(address: IpAddress): boolean
}

/** What this device knows by itself. */
export type KnownMesh = Omit<MeshView, 'lookUp'>

export interface MeshDialer {
  readonly stack: Stack
  readonly mesh: MeshView
  readonly clock: Clock
}

/** What is asked for is not of the mesh: nothing is dialled. */
export class NotOfMeshError extends Error {
  override readonly name = 'NotOfMeshError'
  readonly code = 'ERR_NOT_OF_MESH'

  constructor(host: string) {
    super(`"${host.slice(0, 80)}" is no device and no address of the mesh`)
  }
}

/** The addresses of an address, of a device's name or of one that a resolver behind a router knows, IPv4 first. Rejects
 *  with NotOfMeshError. */
export async function foundAddresses(mesh: MeshView, host: string): Promise<readonly IpAddress[]> {
  if (isIP(host) > 0 || mesh.resolve(host).length > 0) return meshAddresses(mesh, host)
  return ofMesh(mesh, host, await mesh.lookUp(host))
}

/** The addresses of an address or a device's name, IPv4 first. Throws NotOfMeshError. */
export function meshAddresses(mesh: KnownMesh, host: string): readonly IpAddress[] {
  return ofMesh(mesh, host, isIP(host) > 0 ? [parseIpAddress(host)] : mesh.resolve(host))
}

function ofMesh(mesh: KnownMesh, host: string, found: readonly IpAddress[]): readonly IpAddress[] {
  const usable = found.filter((address) => mesh.isOfMesh(address))
  if (usable.length === 0) throw new NotOfMeshError(host)
  return usable.toSorted((a, b) => Number(a.includes(':')) - Number(b.includes(':')))
}

/** A connection that is open. Rejects with NotOfMeshError or what the dialling failed with. */
export async function dialMesh(
  { stack, mesh, clock }: MeshDialer,
  host: string,
  port: number,
): Promise<TcpConnection> {
  let reason: unknown
  const families = new Set(stack.addresses().map((address) => isIP(address)))
  for (const address of await foundAddresses(mesh, host)) {
    if (!families.has(isIP(address))) {
      reason ??= new SocketError('connect', 'EADDRNOTAVAIL', address)
      continue
    }
    try {
      return await opened(stack.connectTcp({ address, port }), clock)
    } catch (error) {
      reason = error
    }
  }
  throw reason
}
