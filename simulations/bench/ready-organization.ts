/** Ready organization: made at once, of keys drawn here, and laid into the state directories of the agents that run.
 *  All others are members that everybody knows and nobody reaches. No registry is needed. */
import { LISTEN_PORT, MESH_PORT } from '../../agent/defaults.ts'
import { openStateDirectory } from '../../agent/state-directory.ts'
import { type AgreementPublicKey, generateAgreementKeyPair } from '../../crypto/agreement.ts'
import { toHex } from '../../crypto/bytes.ts'
import { randomBytes } from '../../crypto/random.ts'
import { generateSigningKeyPair } from '../../crypto/signing.ts'
import { type IpAddress, parseIpAddress, parsePrefix } from '../../protocol/address.ts'
import { encodeEndpointUpdate } from '../../protocol/endpoint-update.ts'
import { envelopeId, sealEnvelope } from '../../protocol/envelope.ts'
import { encodeIssuerCertificate } from '../../protocol/issuer-certificate.ts'
import {
  type DeviceKeyPair,
  type IssuerKeyPair,
  type OrganizationId,
  organizationIdOf,
} from '../../protocol/keys.ts'
import { encodeManifest } from '../../protocol/manifest.ts'
import { encodeMembershipCertificate } from '../../protocol/membership-certificate.ts'
import { ALLOW_ALL } from '../../protocol/policy.ts'
import { type Seconds, seconds } from '../../protocol/time.ts'

const DAY = 86_400
const RANGES = [parsePrefix('100.64.0.0/10'), parsePrefix('fd00::/16')]

/** An agent that is to run: where its state goes, and the address that it is at. */
export interface Seat {
  readonly name: string
  readonly stateDirectory: string
  readonly address: string
}

export interface ReadyOptions {
  readonly registry: string
  readonly seats: readonly Seat[]
  /** All of them, seats included. */
  readonly members: number
  /** Of a member that nobody reaches, from 0. */
  addressOf(ghost: number): IpAddress
  readonly now: Seconds
}

/** Throws what the state directories throw. */
export async function layReadyOrganization(options: ReadyOptions): Promise<void> {
  const { seats, members, now, registry } = options
  const root = generateSigningKeyPair<'root'>()
  const issuer = generateSigningKeyPair<'issuer'>()
  const id = organizationIdOf(root.publicKey)
  const envelopes = [...founding(id, root, issuer, now)]
  for (const [index, seat] of seats.entries()) {
    await using directory = await openStateDirectory(seat.stateDirectory)
    await directory.saveJoin({
      ...{ registry, organization: id, name: seat.name },
      ...{ rendezvous: { multiaddrs: [], stun: [] }, registries: [] },
    })
    const keys = { device: directory.deviceKey, wireguard: directory.wireguardKey.publicKey }
    const member = { name: seat.name, address: parseIpAddress(seat.address), number: index + 1 }
    envelopes.push(...memberEnvelopes(id, issuer, { ...member, ...keys }, now))
  }
  for (let number = seats.length + 1; number <= members; number += 1) {
    const keys = {
      device: generateSigningKeyPair<'device'>(),
      wireguard: generateAgreementKeyPair().publicKey,
    }
    const address = options.addressOf(number - seats.length - 1)
    const member = { name: `ghost-${number}`, address, number }
    envelopes.push(...memberEnvelopes(id, issuer, { ...member, ...keys }, now))
  }
  const stored = new Map(envelopes.map((bytes) => [envelopeId(bytes), bytes]))
  for (const { stateDirectory } of seats) {
    await using directory = await openStateDirectory(stateDirectory)
    await directory.keep(stored, [], new Set(stored.keys()))
  }
}

function founding(
  id: OrganizationId,
  root: Parameters<typeof sealEnvelope>[3],
  issuer: IssuerKeyPair,
  now: Seconds,
): readonly Uint8Array[] {
  const certificate = encodeIssuerCertificate({
    key: issuer.publicKey,
    notBefore: seconds(now - DAY),
    notAfter: seconds(now + 30 * DAY),
    ranges: RANGES,
    longestMembership: seconds(7 * DAY),
  })
  const manifest = encodeManifest(
    {
      ...{ sequence: 1, previous: new Uint8Array(0), issuedAt: seconds(now - 60) },
      ...{ name: 'bench', ranges: RANGES, issuers: [issuer.publicKey], rendezvous: [] },
      policy: ALLOW_ALL,
    },
    [],
  )
  return [
    sealEnvelope('issuer-certificate', id, certificate, root),
    sealEnvelope('manifest', id, manifest, issuer),
  ]
}

interface ReadyMember {
  readonly name: string
  readonly number: number
  readonly address: IpAddress
  readonly device: DeviceKeyPair
  readonly wireguard: AgreementPublicKey
}

/** Its certificate, and where it says it is. */
function memberEnvelopes(
  id: OrganizationId,
  issuer: IssuerKeyPair,
  { name, number, address, device, wireguard }: ReadyMember,
  now: Seconds,
): readonly Uint8Array[] {
  const serial = randomBytes(8)
  const certificate = encodeMembershipCertificate(
    {
      ...{ serial: toHex(serial), deviceKey: device.publicKey, wireguardKey: wireguard },
      ...{ name, owner: 'ada@example.org', groups: [], prefixes: [], roles: [] },
      addresses: [
        parsePrefix(`100.64.${number >> 8}.${number & 255}/32`),
        parsePrefix(`fd00::${number.toString(16)}/128`),
      ],
      ...{ notBefore: seconds(now - 60), notAfter: seconds(now + 5 * DAY), manifestSequence: 1 },
    },
    serial,
  )
  const update = encodeEndpointUpdate({
    ...{ sequence: 1, issuedAt: seconds(now - 60), notAfter: seconds(now + DAY - 60) },
    candidates: [{ kind: 'host', address, port: LISTEN_PORT }],
    multiaddrs: [`/ip4/${address}/tcp/${MESH_PORT}`],
    ...{ natMapping: 'none', system: 'laboratory' },
  })
  return [
    sealEnvelope('membership-certificate', id, certificate, issuer),
    sealEnvelope('endpoint-update', id, update, device),
  ]
}
