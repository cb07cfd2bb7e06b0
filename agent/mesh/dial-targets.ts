/** Dial targets: whom to reach, made of what members and registries say. */
import type { Multiaddr } from '@multiformats/multiaddr'
import type { IpAddress } from '../../protocol/address.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import { peerIdOf } from './device-peer.ts'
import type { DialTarget } from './dial-round.ts'
import { dialable, parseMultiaddr, peerIdTextOf } from './multiaddrs.ts'

/** A member as the dialer needs it. */
export interface DialPeer {
  readonly device: DeviceId
  /** Sequence of its newest endpoint update; 0: there is none. */
  readonly updateSequence: number
  readonly multiaddrs: readonly string[]
  readonly overlayAddresses: readonly IpAddress[]
}

export function targetOf(
  { device, multiaddrs, overlayAddresses }: DialPeer,
  own: readonly Multiaddr[],
): DialTarget & { peer: string } {
  const peer = peerIdOf(device).toString()
  return { peer, multiaddrs: dialable(multiaddrs, own), overlayAddresses }
}

export function merge(target: DialTarget, other: DialTarget | undefined): DialTarget {
  return { ...target, multiaddrs: [...target.multiaddrs, ...(other?.multiaddrs ?? [])] }
}

/** One target for each peer id; one for each multiaddr that has none. */
export function registryTargets(rendezvous: readonly string[]): readonly [string, DialTarget][] {
  const known = rendezvous.flatMap((text) => {
    const address = parseMultiaddr(text)
    return address === undefined ? [] : [{ text, peer: peerIdTextOf(address) }]
  })
  return [...Map.groupBy(known, ({ text, peer }) => peer ?? text)].map(([key, group]) => [
    key,
    { peer: group[0]?.peer, multiaddrs: group.map(({ text }) => text), overlayAddresses: [] },
  ])
}
