/** What devices are told of where the rendezvous is. */
import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import type { Libp2p } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { formatEndpoint, parseEndpoint, parseIpAddress } from '../../protocol/address.ts'
import { MalformedError } from '../../protocol/errors.ts'
import { MULTIADDRS } from '../../protocol/limits.ts'
import { type HostPort, isWildcard } from '../config.ts'

interface Internals {
  readonly components: { readonly transportManager: { getAddrs(): Multiaddr[] } }
}

/** With our peer id at their ends. Where we listen on all addresses, the public URL's host stands for
 *  them, unless it is a loopback one. */
export function announcedMultiaddrs(
  node: Libp2p,
  announce: readonly string[],
  publicHost: string,
): readonly string[] {
  const suffix = `/p2p/${node.peerId.toString()}`
  const { transportManager } = (node as unknown as Internals).components
  const heard = transportManager
    .getAddrs()
    .map(String)
    .flatMap((text) => expanded(text, publicHost))
  const told = (announce.length === 0 ? heard : announce).map((text) =>
    text.includes('/p2p/') ? text : text + suffix,
  )
  return [...new Set(told)].slice(0, MULTIADDRS)
}

/** `ip:port`. */
export function announcedStun(
  bound: readonly HostPort[],
  announce: readonly string[],
  publicHost: string,
): readonly string[] {
  const heard = bound.flatMap(({ host, port }) =>
    (isWildcard(host) ? addressesFor(host, publicHost) : [host])
      .filter((each) => isIP(each) !== 0)
      .map((each) => formatEndpoint({ address: parseIpAddress(each), port })),
  )
  return [...new Set(announce.length === 0 ? heard : announce)].slice(0, MULTIADDRS)
}

/** The port that devices are told, behind which the relay is too; undefined where that is no endpoint. */
export function announcedPort([first]: readonly string[]): number | undefined {
  try {
    return first === undefined ? undefined : parseEndpoint(first).port
  } catch (error) {
    if (error instanceof MalformedError) return undefined
    throw error
  }
}

/** `/ip4/0.0.0.0/tcp/4001` → the same of each address that others may reach. */
function expanded(text: string, publicHost: string): readonly string[] {
  const [, family = '', host = '', ...rest] = text.split('/')
  if (!isWildcard(host)) return [text]
  return addressesFor(host, publicHost).map((each) => {
    const protocol = isIP(each) === 0 ? 'dns' : family
    return ['', protocol, each, ...rest].join('/')
  })
}

/** In place of a wildcard address: the public host, else every address of this machine of that family. */
function addressesFor(wildcard: string, publicHost: string): readonly string[] {
  const family = isIP(wildcard)
  const bare = publicHost.replace(/^\[(.*)\]$/, '$1')
  if (isIP(bare) === family && !bare.startsWith('127.') && bare !== '::1') return [bare]
  if (isIP(bare) === 0 && bare !== 'localhost') return [bare, ...ownAddresses(family)]
  return ownAddresses(family)
}

function ownAddresses(family: number): readonly string[] {
  return Object.values(networkInterfaces())
    .flat()
    .filter((each) => each !== undefined)
    .filter(({ address }) => isIP(address) === family && !address.startsWith('fe80:'))
    .toSorted((a, b) => Number(a.internal) - Number(b.internal))
    .map(({ address }) => address)
}
