/** Agents of the world: each holds an organization's state and judges by `apply`, as the real one does. */

import { agreementKeyPairFromPrivate } from '../../crypto/agreement.ts'
import { toBase64url } from '../../crypto/bytes.ts'
import { sha256 } from '../../crypto/hash.ts'
import { signingKeyPairFromSeed } from '../../crypto/signing.ts'
import { parsePrefix } from '../../protocol/address.ts'
import { encodeEndpointUpdate } from '../../protocol/endpoint-update.ts'
import { type Envelope, openEnvelope, sealEnvelope } from '../../protocol/envelope.ts'
import { encodeIssuerCertificate } from '../../protocol/issuer-certificate.ts'
import {
  type DeviceId,
  type DeviceKeyPair,
  deviceIdOf,
  type OrganizationId,
  organizationIdOf,
} from '../../protocol/keys.ts'
import { PATH_REPORTS } from '../../protocol/limits.ts'
import { encodeManifest } from '../../protocol/manifest.ts'
import { encodeMembershipCertificate } from '../../protocol/membership-certificate.ts'
import { ALLOW_ALL } from '../../protocol/policy.ts'
import { relayAddressOf } from '../../protocol/relay.ts'
import { encodeRouteAdvertisement } from '../../protocol/route-advertisement.ts'
import { applyAll, emptyState, type OrganizationState } from '../../protocol/state.ts'
import { type Seconds, seconds } from '../../protocol/time.ts'

export interface SimulatedDevice {
  readonly id: DeviceId
  readonly key: DeviceKeyPair
}

export interface SimulatedOrganization {
  readonly id: OrganizationId
  readonly devices: readonly SimulatedDevice[]
  /** What every agent knows at the beginning: issuer, manifest, all certificates. */
  readonly state: OrganizationState
}

/** Prefix that every device of a simulated organization may advertise. */
export const MOVING_PREFIX = parsePrefix('10.99.0.1/32')

/** Real keys and signatures, made from the seed. */
export function simulatedOrganization(
  size: number,
  now: Seconds,
  seed: number,
): SimulatedOrganization {
  const secret = (what: string): Uint8Array => sha256(new TextEncoder().encode(`${seed} ${what}`))
  const root = signingKeyPairFromSeed<'root'>(secret('root'))
  const issuer = signingKeyPairFromSeed<'issuer'>(secret('issuer'))
  const id = organizationIdOf(root.publicKey)
  const ranges = [parsePrefix('100.64.0.0/10')]
  const notBefore = seconds(now - 60)
  const notAfter = seconds(now + 86_400)
  const envelopes = [
    sealEnvelope(
      'issuer-certificate',
      id,
      encodeIssuerCertificate({
        key: issuer.publicKey,
        notBefore,
        notAfter: seconds(now + 80 * 86_400),
        ranges,
        longestMembership: seconds(7 * 86_400),
      }),
      root,
    ),
    sealEnvelope(
      'manifest',
      id,
      encodeManifest(
        {
          sequence: 1,
          previous: new Uint8Array(0),
          issuedAt: notBefore,
          name: 'simulated',
          ranges,
          issuers: [issuer.publicKey],
          rendezvous: [],
          policy: ALLOW_ALL,
        },
        [],
      ),
      issuer,
    ),
  ]
  const devices = Array.from({ length: size }, (_, index): SimulatedDevice => {
    const key = signingKeyPairFromSeed<'device'>(secret(`device ${index}`))
    const certificate = encodeMembershipCertificate(
      {
        serial: '',
        deviceKey: key.publicKey,
        wireguardKey: agreementKeyPairFromPrivate(secret(`wireguard ${index}`)).publicKey,
        name: `device-${index}`,
        owner: 'simulation',
        addresses: [
          parsePrefix(`100.${64 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}/32`),
        ],
        groups: [],
        prefixes: [MOVING_PREFIX],
        roles: [],
        notBefore,
        notAfter,
        manifestSequence: 1,
      },
      secret(`serial ${index}`).subarray(0, 8),
    )
    envelopes.push(sealEnvelope('membership-certificate', id, certificate, issuer))
    return { id: deviceIdOf(key.publicKey), key }
  })
  const { state } = applyAll(emptyState(id), envelopes.map(openEnvelope), now)
  return { id, devices, state }
}

/** A new endpoint update of the device, as large as that of one that is in touch with as many as it tells of. */
export function sealedEndpointUpdate(
  organization: SimulatedOrganization,
  device: SimulatedDevice,
  sequence: number,
  now: Seconds,
): Uint8Array {
  const candidates = [11, 12, 13, 14].map((last) => ({
    kind: last === 14 ? ('server-reflexive' as const) : ('host' as const),
    address: parsePrefix(`192.0.2.${last}`).slice(0, -3) as never,
    port: 51820 + (sequence % 1000),
  }))
  const claims = encodeEndpointUpdate({
    sequence,
    issuedAt: now,
    notAfter: seconds(now + 86_400),
    candidates,
    multiaddrs: ['/ip4/192.0.2.11/tcp/51822', '/ip4/192.0.2.14/tcp/51822'],
    natMapping: 'endpoint-independent',
    system: 'nexd simulated, linux',
    paths: organization.devices.slice(0, PATH_REPORTS).map(({ id }) => ({
      ...{ peer: relayAddressOf(id), kind: 'direct', roundTripMs: 20 + (sequence % 200) },
    })),
  })
  return sealEnvelope('endpoint-update', organization.id, claims, device.key)
}

/** The device takes the moving prefix over. */
export function sealedMove(
  organization: SimulatedOrganization,
  device: SimulatedDevice,
  epoch: number,
  now: Seconds,
): Uint8Array {
  const claims = encodeRouteAdvertisement({
    sequence: epoch,
    issuedAt: now,
    notAfter: seconds(now + 86_400),
    prefix: MOVING_PREFIX,
    epoch,
    metric: 100,
    state: 'active',
  })
  return sealEnvelope('route-advertisement', organization.id, claims, device.key)
}

/** Opening is the same for all agents of one process: done once for each message, verified once. */
export function openOnce(): (bytes: Uint8Array) => Envelope {
  const opened = new Map<string, Envelope>()
  return (bytes) => {
    const key = toBase64url(bytes)
    const known = opened.get(key)
    if (known !== undefined) return known
    const envelope = openEnvelope(bytes)
    if (opened.size > 10_000) opened.clear()
    opened.set(key, envelope)
    return envelope
  }
}
