/** Plain WireGuard, configured by hand: each side is told the other's external address, which nobody has to
 *  find. `staggered`: the second side is told a little later, so that they do not both begin. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type AgreementKeyPair,
  generateAgreementKeyPair,
  privateBytesOf,
} from '../../crypto/agreement.ts'
import { toBase64 } from '../../crypto/bytes.ts'
import type { Host } from '../lab/ground.ts'
import { featuresOf, otherPort } from '../lab/nat.ts'
import { innerAddress, startDaemons } from './daemons.ts'
import { type Field, hostOf, type MemberName, memberNames, type Product } from './product.ts'

const PORT = 51820
/** How much later the second side is configured, seconds. */
const STAGGER_S = 0.25

const COMMON = {
  commands: ['wireguard-go', 'wg'],
  packages: ['wireguard-go', 'wireguard-tools'],
  fits: () => true,
}

export const wireguard: Product = {
  ...COMMON,
  name: 'wireguard',
  open: (field) => open(field, 'wireguard', 0),
}
export const wireguardStaggered: Product = {
  ...COMMON,
  name: 'wireguard staggered',
  open: (field) => open(field, 'staggered', STAGGER_S),
}

async function open(field: Field, name: string, lagS: number): ReturnType<Product['open']> {
  const keys = new Map(memberNames(field).map((each) => [each, generateAgreementKeyPair()]))
  const files = new Map<string, string>()
  for (const member of memberNames(field)) {
    const file = join(field.lab.folder, `${name}-${member}.conf`)
    await writeFile(file, settings(field, keys, member), { mode: 0o600 })
    files.set(member, file)
  }
  return startDaemons(field, name, (role) => {
    const file = files.get(role)
    if (file === undefined) return undefined
    const device = `${field.lab.prefix}w${role}`
    return { command: 'sh', args: ['-c', script(device, file, role, role === 'a' ? 0 : lagS)] }
  })
}

/** WireGuard's sockets are shared by all namespaces: devices have names of their own. */
function script(device: string, file: string, role: MemberName | 'hub', lagS: number): string {
  return [
    `wireguard-go -f ${device} & P=$!`,
    'trap "kill $P; wait $P; exit 0" TERM',
    `until [ -S /run/wireguard/${device}.sock ]; do sleep 0.01; done`,
    `sleep ${lagS}`,
    `wg setconf ${device} ${file}`,
    `ip addr add ${innerAddress(role)}/24 dev ${device}`,
    `ip link set ${device} mtu 1420 up`,
    'wait $P',
  ].join('\n')
}

function settings(
  field: Field,
  keys: ReadonlyMap<MemberName, AgreementKeyPair>,
  member: MemberName,
): string {
  const own = hostOf(field, member)
  const lines = memberNames(field).flatMap((other) => {
    const key = keys.get(other)
    if (key === undefined) return []
    if (other === member)
      return [
        '[Interface]',
        `PrivateKey = ${toBase64(privateBytesOf(key))}`,
        `ListenPort = ${PORT}`,
      ]
    const endpoint = endpointOf(hostOf(field, other), own)
    return [
      '[Peer]',
      `PublicKey = ${toBase64(key.publicKey)}`,
      `AllowedIPs = ${innerAddress(other)}/32`,
      ...(endpoint === undefined ? [] : [`Endpoint = ${endpoint}`]),
      'PersistentKeepalive = 25',
    ]
  })
  // wg-setconf wants the interface first.
  const at = lines.indexOf('[Interface]')
  return `${[...lines.slice(at, at + 3), ...lines.slice(0, at), ...lines.slice(at + 3)].join('\n')}\n`
}

/** Where the other is found from outside, or on the LAN that both are on; undefined where nowhere. */
export function endpointOf(other: Host, own: Host): string | undefined {
  const [far, near] = [featuresOf(other.kind), featuresOf(own.kind)]
  if (other.site === own.site && !far.isIsolated) return `${other.address}:${PORT}`
  const isRouted = far.base !== 'public' && far.base !== 'fw'
  if (far.hasIpv6 && near.hasIpv6)
    return `[2001:db8:${other.site}:${isRouted ? `1::${lanNumber(other)}` : ':2'}]:${PORT}`
  if (!far.hasIpv4 || !near.hasIpv4) return undefined
  return `198.18.${other.site}.2:${far.keepsPorts ? PORT : otherPort(PORT)}`
}

/** Hosts of a LAN have .10 and up in either family. */
function lanNumber({ port }: Host): number {
  return 10 + port.charCodeAt(1) - 'a'.charCodeAt(0)
}
