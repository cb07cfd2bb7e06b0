/** An organization made for a test: real keys, real signatures, the cast of the tests. */
import { type AgreementKeyPair, agreementKeyPairFromPrivate } from '../../crypto/agreement.ts'
import { fromHex, utf8 } from '../../crypto/bytes.ts'
import { sha256 } from '../../crypto/hash.ts'
import { signingKeyPairFromSeed } from '../../crypto/signing.ts'
import { type Prefix, parsePrefix } from '../../protocol/address.ts'
import { type Approval, encodeApproval } from '../../protocol/approval.ts'
import { type EndpointUpdate, encodeEndpointUpdate } from '../../protocol/endpoint-update.ts'
import { openEnvelope, sealEnvelope } from '../../protocol/envelope.ts'
import { encodeIssuerCertificate, type Lock } from '../../protocol/issuer-certificate.ts'
import {
  type DeviceId,
  type DeviceKeyPair,
  deviceIdOf,
  type IssuerKeyPair,
  type OrganizationId,
  organizationIdOf,
  type RootKeyPair,
} from '../../protocol/keys.ts'
import { encodeManifest, type Manifest } from '../../protocol/manifest.ts'
import {
  encodeMembershipCertificate,
  type MembershipCertificate,
} from '../../protocol/membership-certificate.ts'
import { ALLOW_ALL } from '../../protocol/policy.ts'
import {
  encodeRouteAdvertisement,
  type RouteAdvertisement,
} from '../../protocol/route-advertisement.ts'
import { apply, emptyState, type OrganizationState } from '../../protocol/state.ts'
import { type Seconds, seconds } from '../../protocol/time.ts'

/** 2026-01-01T12:00:00Z: the present of tests with a fixed clock. */
export const NOON = seconds(1_767_268_800)
const DAY = 86_400

export interface TestDevice {
  readonly name: string
  readonly id: DeviceId
  readonly key: DeviceKeyPair
  readonly wireguard: AgreementKeyPair
  /** 16 hex digits. */
  readonly serial: string
  readonly addresses: readonly Prefix[]
}

export interface TestOrganization {
  readonly id: OrganizationId
  readonly root: RootKeyPair
  readonly issuer: IssuerKeyPair
  readonly now: Seconds
  /** The device of that name; its keys follow from the organization's name and its own. */
  device(name: string): TestDevice
  issuerCertificate(change?: {
    readonly issuer?: IssuerKeyPair
    readonly notBefore?: Seconds
    readonly lock?: Lock
  }): Uint8Array
  /** By one device on another. */
  approval(by: TestDevice, device: TestDevice, change?: Partial<Approval>): Uint8Array
  certificate(
    device: TestDevice,
    change?: Partial<MembershipCertificate>,
    issuer?: IssuerKeyPair,
  ): Uint8Array
  manifest(change?: Partial<Manifest>, issuer?: IssuerKeyPair): Uint8Array
  endpoint(device: TestDevice, change?: Partial<EndpointUpdate>): Uint8Array
  route(device: TestDevice, prefix: string, change?: Partial<RouteAdvertisement>): Uint8Array
  /** A state that has applied these. */
  state(...envelopes: readonly Uint8Array[]): OrganizationState
  /** A state with issuer, manifest 1 and a certificate for each name. */
  stateWith(...names: readonly string[]): OrganizationState
}

/** Deterministic: the same name and time give the same bytes. */
export function testOrganization(name: string, now: Seconds = NOON): TestOrganization {
  const seed = (what: string): Uint8Array => sha256(utf8(`${name} ${what}`))
  const root = signingKeyPairFromSeed<'root'>(seed('root'))
  const issuer = signingKeyPairFromSeed<'issuer'>(seed('issuer'))
  const id = organizationIdOf(root.publicKey)
  const numbers = new Map<string, number>()
  const ranges = [parsePrefix('100.64.0.0/10'), parsePrefix('fd00::/16')]

  const device = (deviceName: string): TestDevice => {
    const number = numbers.get(deviceName) ?? numbers.size + 1
    numbers.set(deviceName, number)
    const key = signingKeyPairFromSeed<'device'>(seed(`device ${deviceName}`))
    return {
      name: deviceName,
      id: deviceIdOf(key.publicKey),
      key,
      wireguard: agreementKeyPairFromPrivate(seed(`wireguard ${deviceName}`)),
      serial: Buffer.from(seed(`serial ${deviceName}`).subarray(0, 8)).toString('hex'),
      addresses: [
        parsePrefix(`100.64.${number >> 8}.${number & 255}/32`),
        parsePrefix(`fd00::${number.toString(16)}/128`),
      ],
    }
  }

  const organization: TestOrganization = {
    id,
    root,
    issuer,
    now,
    device,
    issuerCertificate: (change = {}) =>
      sealEnvelope(
        'issuer-certificate',
        id,
        encodeIssuerCertificate({
          key: (change.issuer ?? issuer).publicKey,
          notBefore: change.notBefore ?? seconds(now - DAY),
          notAfter: seconds((change.notBefore ?? now - DAY) + 80 * DAY),
          ranges,
          longestMembership: seconds(7 * DAY),
          ...(change.lock !== undefined && { lock: change.lock }),
        }),
        root,
      ),
    approval: (by, member, change = {}) =>
      sealEnvelope(
        'approval',
        id,
        encodeApproval({
          sequence: 1,
          issuedAt: seconds(now - 10),
          deviceKey: member.key.publicKey,
          wireguardKey: member.wireguard.publicKey,
          decision: 'approved',
          ...change,
        }),
        by.key,
      ),
    certificate: (member, change = {}, by = issuer) =>
      sealEnvelope(
        'membership-certificate',
        id,
        encodeMembershipCertificate(
          {
            serial: member.serial,
            deviceKey: member.key.publicKey,
            wireguardKey: member.wireguard.publicKey,
            name: member.name,
            owner: 'ada@example.org',
            addresses: member.addresses,
            groups: [],
            prefixes: [],
            roles: ['relay'],
            notBefore: seconds(now - 60),
            notAfter: seconds(now + DAY),
            manifestSequence: 1,
            ...change,
          },
          fromHex(change.serial ?? member.serial),
        ),
        by,
      ),
    manifest: (change = {}, by = issuer) => {
      const sequence = change.sequence ?? 1
      return sealEnvelope(
        'manifest',
        id,
        encodeManifest(
          {
            sequence,
            previous: sequence === 1 ? new Uint8Array(0) : sha256(utf8(`manifest ${sequence - 1}`)),
            issuedAt: seconds(now - 60),
            name,
            ranges,
            issuers: [issuer.publicKey],
            rendezvous: [],
            policy: ALLOW_ALL,
            ...change,
          },
          [...(change.revocations ?? [])].map(([serial, notAfter]) => ({
            serial: fromHex(serial),
            notAfter,
          })),
        ),
        by,
      )
    },
    endpoint: (member, change = {}) =>
      sealEnvelope(
        'endpoint-update',
        id,
        encodeEndpointUpdate({
          sequence: 1,
          issuedAt: seconds(now - 10),
          notAfter: seconds(now + 3600),
          candidates: [],
          multiaddrs: [],
          natMapping: 'unknown',
          system: 'test',
          ...change,
        }),
        member.key,
      ),
    route: (member, prefix, change = {}) =>
      sealEnvelope(
        'route-advertisement',
        id,
        encodeRouteAdvertisement({
          sequence: 1,
          issuedAt: seconds(now - 10),
          notAfter: seconds(now + 3600),
          prefix: parsePrefix(prefix),
          epoch: 1,
          metric: 100,
          state: 'active',
          ...change,
        }),
        member.key,
      ),
    state: (...envelopes) =>
      envelopes.reduce(
        (state, bytes) => apply(state, openEnvelope(bytes), now).state,
        emptyState(id),
      ),
    stateWith: (...names) =>
      organization.state(
        organization.issuerCertificate(),
        organization.manifest(),
        ...names.map((each) => organization.certificate(device(each))),
      ),
  }
  return organization
}
