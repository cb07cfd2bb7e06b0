/** The registry's rules over a real store, without its HTTP surface. */
import { generateAgreementKeyPair } from '../../crypto/agreement.ts'
import { toBase64 } from '../../crypto/bytes.ts'
import { randomBytes } from '../../crypto/random.ts'
import { generateSigningKeyPair } from '../../crypto/signing.ts'
import { openEnvelope, sealEnvelope } from '../../protocol/envelope.ts'
import {
  type DeviceId,
  type DeviceKeyPair,
  deviceIdOf,
  type OrganizationId,
} from '../../protocol/keys.ts'
import { encodeProof, type ProofPurpose, UNKNOWN_ORGANIZATION } from '../../protocol/proof.ts'
import { apply, emptyState, type OrganizationState } from '../../protocol/state.ts'
import { type Seconds, seconds } from '../../protocol/time.ts'
import type { Act } from '../../registry/act.ts'
import { openDeviceAuthorizations } from '../../registry/device-authorization.ts'
import { type DeviceChange, openDevices } from '../../registry/devices.ts'
import { enrol, type Membership } from '../../registry/enrolment.ts'
import { type IssuingSettings, openIssuing } from '../../registry/issuing.ts'
import { userIdOf } from '../../registry/organizations.ts'
import { openRegistrationKeys } from '../../registry/registration-keys.ts'
import { renew } from '../../registry/renewal.ts'
import { openDatabase } from '../../registry/store/database.ts'
import { openLevelStore } from '../../registry/store/level-store.ts'
import { systemClock } from '../../registry/system-clock.ts'
import { temporaryDirectory } from './registry.ts'

export const ADA = userIdOf({ issuer: 'test', subject: 'ada' })
export const PUBLIC_URL = 'https://registry.example'

export interface Asker {
  readonly name: string
  readonly id: DeviceId
  readonly deviceKey: DeviceKeyPair
  readonly wireguardKey: ReturnType<typeof generateAgreementKeyPair>
}

export function asker(name: string): Asker {
  const deviceKey = generateSigningKeyPair<'device'>()
  const wireguardKey = generateAgreementKeyPair()
  return { name, id: deviceIdOf(deviceKey.publicKey), deviceKey, wireguardKey }
}

export type RegistryCore = Awaited<ReturnType<typeof startCore>>

/** @param begin the present; tests move it with `advance` */
export async function startCore(
  options: {
    readonly stateDirectory?: string
    readonly settings?: Partial<IssuingSettings>
    readonly begin?: Seconds
  } = {},
) {
  let now = options.begin ?? systemClock.now()
  const clock = {
    ...systemClock,
    now: () => now,
    nowMs: () => now * 1000,
    monotonicMs: () => now * 1000,
  }
  const stateDirectory = options.stateDirectory ?? (await temporaryDirectory())
  const store = await openLevelStore(`${stateDirectory}/store`)
  const database = openDatabase(store, { clock, randomBytes })
  const logged: { level: string; event: string; fields: Record<string, unknown> }[] = []
  const log = (level: string, event: string, fields: Record<string, unknown> = {}) =>
    void logged.push({ level, event, fields })
  const parts = { database, clock, randomBytes, log }
  const issuing = await openIssuing({
    ...parts,
    stateDirectory,
    ...(options.settings && { settings: options.settings }),
  })
  const authorizations = openDeviceAuthorizations(parts)
  const registrationKeys = openRegistrationKeys(parts)
  const devices = openDevices({ database, issuing })
  /** Ada, now. */
  const ada = (): Act => ({ who: { kind: 'user', user: ADA, name: 'ada' }, at: now })
  const publicUrl = PUBLIC_URL
  const enrolmentParts = { issuing, authorizations, registrationKeys, publicUrl, clock, log }

  const proof = (
    by: Asker,
    purpose: ProofPurpose,
    organization: OrganizationId,
    change: { audience?: string; issuedAt?: Seconds; wireguardKey?: Uint8Array } = {},
  ): string => {
    const claims = encodeProof({
      purpose,
      audience: publicUrl,
      subject: '',
      nonce: randomBytes(16),
      issuedAt: now,
      wireguardKey: by.wireguardKey.publicKey,
      ...change,
    })
    return toBase64(sealEnvelope('proof', organization, claims, by.deviceKey))
  }
  return {
    ...{ stateDirectory, store, database, clock, log, logged, issuing, authorizations },
    ...{ proof, publicUrl, ada },
    /** As Ada changes them. */
    devices: {
      ...devices,
      remove: (organization: OrganizationId, device: string) =>
        devices.remove(organization, device, ada()),
      change: (organization: OrganizationId, device: string, change: DeviceChange) =>
        devices.change(organization, device, change, ada()),
    },
    registrationKeys: {
      ...registrationKeys,
      revoke: (organization: OrganizationId, id: string) =>
        registrationKeys.revoke(organization, id, ada()),
    },
    advance(by: number) {
      now = seconds(now + by)
    },
    /** A registration key's secret. */
    async key(organization: OrganizationId, wanted: { singleUse?: boolean; lasts?: number } = {}) {
      const asked = {
        description: 'a test',
        singleUse: wanted.singleUse ?? false,
        expiresAt: seconds(now + (wanted.lasts ?? 3600)),
      }
      const { secret } = await registrationKeys.create(organization, asked, ada())
      return secret
    },
    enrol: (by: Asker, registrationKey: string, requestedAddress?: string): Promise<Membership> =>
      enrol(
        enrolmentParts,
        {
          credential: { registrationKey },
          deviceKey: toBase64(by.deviceKey.publicKey),
          wireguardKey: toBase64(by.wireguardKey.publicKey),
          name: by.name,
          system: 'test',
          requestedAddress,
          proof: proof(by, 'enrolment', UNKNOWN_ORGANIZATION),
        },
        { who: { kind: 'device', device: by.id }, at: now },
      ),
    renew: (by: Asker, organization: OrganizationId, request?: string): Promise<Membership> =>
      renew({ issuing, publicUrl, clock }, request ?? proof(by, 'renewal', organization)),
    /** What a device that knew `known` believes after hearing these. */
    hear(
      organization: OrganizationId,
      envelopes: readonly Uint8Array[],
      known: OrganizationState = emptyState(organization),
    ): OrganizationState {
      return envelopes.reduce((state, bytes) => apply(state, openEnvelope(bytes), now).state, known)
    },
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  }
}
