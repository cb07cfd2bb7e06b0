/** Local addresses: those under which other hosts may reach this one, and the subnets it is attached to. */
import { existsSync, readFileSync } from 'node:fs'
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os'
import {
  addressFamily,
  type IpAddress,
  networkOf,
  type Prefix,
  parseIpAddress,
} from '../../protocol/address.ts'

/** As `os.networkInterfaces()` gives them: interfaces that are up, by name. */
export type Interfaces = Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>

/** Bridges and cables of container and virtual machine engines: their addresses repeat on every host. */
const CONTAINER_INTERFACE =
  /^(docker\d*|br-[0-9a-f]{12}|veth[0-9a-f].*|virbr\d+.*|vnet\d+|vmnet\d+|cni\d+|cni-podman\d+|podman\d+|flannel.*|cali[0-9a-f]+|tunl0|cilium_.*|lxc[0-9a-f]{4,}.*|lxcbr\d+|lxdbr\d+|kube-.*|nerdctl\d+)$/

export function isContainerInterface(name: string): boolean {
  return CONTAINER_INTERFACE.test(name)
}

/** Is it a tunnel, whosever? A path through another tunnel would be found fast and near, and carry every
 *  packet twice encrypted, with an MTU that does not fit. What a peer sees of us leads around it. */
export function isTunnelInterface(name: string): boolean {
  const folder = `/sys/class/net/${name}`
  if (existsSync(`${folder}/tun_flags`)) return true
  try {
    return /^DEVTYPE=wireguard$/m.test(readFileSync(`${folder}/uevent`, 'utf8'))
  } catch (error) {
    // It has gone meanwhile.
    if (error instanceof Error && 'code' in error) return false
    throw error
  }
}

/** Host candidates (RFC 8445 §5.1.1.1): no loopback, link-local, tunnel or container bridge; IPv6 last. */
export function hostAddresses(
  tunnelInterface: string,
  interfaces: Interfaces = networkInterfaces(),
  isTunnel: (name: string) => boolean = isTunnelInterface,
): readonly IpAddress[] {
  const found = usable(interfaces)
    .filter(([name]) => name !== tunnelInterface && !isContainerInterface(name) && !isTunnel(name))
    .map(([, info]) => parseIpAddress(info.address))
  return [...new Set(found)].toSorted((a, b) => addressFamily(a) - addressFamily(b))
}

/** Every address of other interfaces than the tunnel that is no loopback or link-local one. */
export function underlayAddresses(
  tunnelInterface: string,
  interfaces: Interfaces = networkInterfaces(),
): readonly IpAddress[] {
  const found = usable(interfaces)
    .filter(([name]) => name !== tunnelInterface && !isContainerInterface(name))
    .map(([, info]) => parseIpAddress(info.address))
  return [...new Set(found)].toSorted()
}

/** Subnets of every other interface, containers' bridges too: no route of the tunnel may cover them.
 *  Host prefixes are left out, for they are addresses rather than subnets. */
export function localPrefixes(
  tunnelInterface: string,
  interfaces: Interfaces = networkInterfaces(),
): readonly Prefix[] {
  const found = usable(interfaces)
    .filter(([name]) => name !== tunnelInterface)
    .flatMap(([, info]) => subnetOf(info))
  return [...new Set(found)]
}

function usable(interfaces: Interfaces): [string, NetworkInterfaceInfo][] {
  return Object.entries(interfaces)
    .flatMap(([name, infos = []]) =>
      infos.map((info): [string, NetworkInterfaceInfo] => [name, info]),
    )
    .filter(([, info]) => !info.internal && !isLinkLocal(info.address))
}

/** 169.254.0.0/16 (RFC 3927) and fe80::/10 (RFC 4291). */
function isLinkLocal(address: string): boolean {
  return /^(169\.254\.|fe[89ab][0-9a-f]:)/i.test(address)
}

function subnetOf({ address, cidr }: NetworkInterfaceInfo): readonly Prefix[] {
  const length = Number(cidr?.split('/')[1])
  const ip = parseIpAddress(address)
  return length < (addressFamily(ip) === 4 ? 32 : 128) ? [networkOf(ip, length)] : []
}
