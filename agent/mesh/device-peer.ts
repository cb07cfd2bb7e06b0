/** Device ids and libp2p peer ids name the same Ed25519 key: one from the other. */
import { privateKeyFromRaw, publicKeyFromRaw } from '@libp2p/crypto/keys'
import type { PeerId, PrivateKey } from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { concat } from '../../crypto/bytes.ts'
import { seedOf } from '../../crypto/signing.ts'
import { MalformedError } from '../../protocol/errors.ts'
import {
  type DeviceId,
  type DeviceKeyPair,
  deviceIdOf,
  deviceKeyOf,
  parseKey,
} from '../../protocol/keys.ts'

/** Peer ids made already: every change of belief asks for all of them, and one costs 50 µs. */
const known = new Map<DeviceId, PeerId>()
const KNOWN = 16_384

/** Throws MalformedError on a device id that names no key. */
export function peerIdOf(device: DeviceId): PeerId {
  const made = known.get(device)
  if (made !== undefined) return made
  if (known.size >= KNOWN) known.clear()
  const peer = peerIdFromPublicKey(publicKeyFromRaw(deviceKeyOf(device)))
  known.set(device, peer)
  return peer
}

/** Undefined of a peer whose key is not a valid Ed25519 one: no device. */
export function deviceOf(peer: PeerId): DeviceId | undefined {
  if (peer.type !== 'Ed25519') return undefined
  try {
    return deviceIdOf(parseKey<'device'>(peer.publicKey.raw, 'peer id'))
  } catch (error) {
    if (error instanceof MalformedError) return undefined
    throw error
  }
}

/** The device key as libp2p wants it: seed and public key in one. */
export function libp2pKeyOf(pair: DeviceKeyPair): PrivateKey {
  return privateKeyFromRaw(concat(seedOf(pair), pair.publicKey))
}
