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
  /** Of the device with this address. */
  nameOf(address: IpAddress): string | undefined
  /** Does a packet to this address go into the mesh? */
  isOfMesh(address: IpAddress): boolean
}

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

/** The addresses of a name or an address, IPv4 first. Throws NotOfMeshError. */
export function meshAddresses(mesh: MeshView, host: string): readonly IpAddress[] {
  const found = isIP(host) > 0 ? [parseIpAddress(host)] : mesh.resolve(host)
  const ofMesh = found.filter((address) => mesh.isOfMesh(address))
  if (ofMesh.length === 0) throw new NotOfMeshError(host)
  return ofMesh.toSorted((a, b) => Number(a.includes(':')) - Number(b.includes(':')))
}

/** A connection that is open. Rejects with NotOfMeshError or what the dialling failed with. */
export async function dialMesh(
  { stack, mesh, clock }: MeshDialer,
  host: string,
  port: number,
): Promise<TcpConnection> {
  let reason: unknown
  const families = new Set(stack.addresses().map((address) => isIP(address)))
  for (const address of meshAddresses(mesh, host)) {
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
