/** Envelope seal: shows that a device itself has written just these envelopes, all of which it had verified: so it need not
 *  verify a thousand signatures again before its first packet. */
import { utf8 } from '../crypto/bytes.ts'
import { hkdfSha256, hmacSha256 } from '../crypto/hash.ts'
import { seedOf } from '../crypto/signing.ts'
import type { DeviceKeyPair } from '../protocol/keys.ts'

/** Raise the number with any change of what `openEnvelope` refuses: what an older program let pass is verified again. */
const PURPOSE = utf8('nexodus seal of kept envelopes 1')

/** @param ids of the envelopes (envelopeId), in any order; hexadecimal */
export type EnvelopeSeal = (ids: Iterable<string>) => Uint8Array

/** HMAC-SHA256 (RFC 2104) under a key that only who has the device's key can make. */
export function envelopeSeal(deviceKey: DeviceKeyPair): EnvelopeSeal {
  const key = hkdfSha256(seedOf(deviceKey), new Uint8Array(), PURPOSE, 32)
  return (ids) => hmacSha256(key, utf8([...ids].toSorted().join('\n')))
}
