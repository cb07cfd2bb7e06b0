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
import { approveDevice } from '../../registry/approval.ts'
import { openDeviceAuthorizations } from '../../registry/device-authorization.ts'
import type { DeviceChange } from '../../registry/device-change.ts'
import type { DeviceRequest } from '../../registry/device-requests.ts'
import { openDevices } from '../../registry/devices.ts'
import { enrol, type Membership } from '../../registry/enrolment.ts'
import { type NewInvitation, openInvitations } from '../../registry/invitations.ts'
import { type IssuingSettings, openIssuing } from '../../registry/issuing.ts'
import { type DevicesOfLeaver, openMembers } from '../../registry/members.ts'
import {
  type NewOrganization,
  openOrganizationLifecycle,
  type SettingsChange,
} from '../../registry/organization-lifecycle.ts'
import {
  members,
  putMember,
  type SignIn,
  type UserId,
  userIdOf,
  users,
  welcome,
} from '../../registry/organizations.ts'
import { provePossession } from '../../registry/possession.ts'
import { ProblemError } from '../../registry/problem.ts'
import { type NewRegistrationKey, openRegistrationKeys } from '../../registry/registration-keys.ts'
import { renew } from '../../registry/renewal.ts'
import type { MemberRole } from '../../registry/roles.ts'
import { openRootCustody } from '../../registry/root-custody.ts'
import { openDatabase } from '../../registry/store/database.ts'
import { openLevelStore } from '../../registry/store/level-store.ts'
import { systemClock } from '../../registry/system-clock.ts'
import { temporaryDirectory } from './registry.ts'

/** A user. */
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
  const custody = openRootCustody({ ...parts, issuing, publicUrl: PUBLIC_URL })
  const membersOf = openMembers({ database, issuing })
  const lifecycle = openOrganizationLifecycle({ database, issuing, clock })
  const invitations = openInvitations({ database, issuing, clock, randomBytes })
  /** The user, now. */
  const as = (user: UserId): Act => ({ who: { kind: 'user', user, name: user }, at: now })
  const ada = (): Act => as(ADA)
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
  const byDevice = (by: Asker): Act => ({ who: { kind: 'device', device: by.id }, at: now })
  const described = (by: Asker) => ({
    deviceKey: toBase64(by.deviceKey.publicKey),
    wireguardKey: toBase64(by.wireguardKey.publicKey),
    name: by.name,
    system: 'test',
    proof: proof(by, 'enrolment', UNKNOWN_ORGANIZATION),
  })
  /** As after a sign-in with a verified e-mail address, `<name>@example.org`. */
  const signIn = async (name: string, claims: Partial<SignIn> = {}): Promise<UserId> => {
    const proved = { email: `${name}@example.org`, emailVerified: true, ...claims }
    return welcome({ database, clock }, { issuer: 'test', subject: name, ...proved }, (...args) =>
      issuing.found(...args),
    )
  }
  /** Makes the user a member where they are none; without an organization of their own. */
  const member = async (
    organization: OrganizationId,
    name: string,
    role: MemberRole = 'member',
  ): Promise<UserId> => {
    const id = userIdOf({ issuer: 'test', subject: name })
    await issuing.change(organization, async ({ transaction }) => {
      if ((await transaction.get(users, id)) === undefined) {
        const proved = { issuer: 'test', subject: name, email: `${name}@example.org` }
        const record = { ...proved, emailVerified: true, name, createdAt: now, signedInAt: now }
        transaction.put(users, id, record)
      }
      const known = await transaction.get(members, `${organization}/${id}`)
      if (known === undefined) putMember(transaction, organization, id, { role, since: now })
    })
    return id
  }
  return {
    ...{ stateDirectory, store, database, clock, log, logged, issuing, authorizations, custody },
    ...{ proof, publicUrl, as, ada },
    /** As Ada changes them. */
    devices: {
      ...devices,
      remove: (organization: OrganizationId, device: string) =>
        devices.remove(organization, device, ada()),
      change: (organization: OrganizationId, device: string, change: DeviceChange) =>
        devices.change(organization, device, change, ada()),
      decide: (
        organization: OrganizationId,
        device: string,
        decision: Parameters<typeof devices.decide>[2],
      ) => devices.decide(organization, device, decision, ada()),
    },
    registrationKeys: {
      ...registrationKeys,
      describe: (organization: OrganizationId, id: string, description: string) =>
        registrationKeys.describe(organization, id, description, ada()),
      revoke: (organization: OrganizationId, id: string) =>
        registrationKeys.revoke(organization, id, ada()),
    },
    members: {
      setRole: (organization: OrganizationId, by: UserId, user: string, role: MemberRole) =>
        membersOf.setRole(organization, as(by), user, role),
      remove: (
        organization: OrganizationId,
        by: UserId,
        user: string,
        devicesOfLeaver: DevicesOfLeaver,
      ) => membersOf.remove(organization, as(by), user, devicesOfLeaver),
      list: membersOf.list,
    },
    lifecycle: {
      details: lifecycle.details,
      create: (by: UserId, wanted: NewOrganization) => lifecycle.create(as(by), wanted),
      rename: (organization: OrganizationId, by: UserId, name: string) =>
        lifecycle.rename(organization, as(by), name),
      changeSettings: (organization: OrganizationId, by: UserId, settings: SettingsChange) =>
        lifecycle.changeSettings(organization, as(by), settings),
      delete: (organization: OrganizationId, by: UserId, force: boolean) =>
        lifecycle.delete(organization, as(by), force),
    },
    invitations: {
      ...invitations,
      create: (organization: OrganizationId, by: UserId, wanted: NewInvitation) =>
        invitations.create(organization, as(by), wanted),
      accept: (by: UserId, id: string) => invitations.accept(as(by), id),
      acceptLink: (by: UserId, secret: string) => invitations.acceptLink(as(by), secret),
      decline: (by: UserId, id: string) => invitations.decline(as(by), id),
      revoke: (organization: OrganizationId, by: UserId, id: string) =>
        invitations.revoke(organization, as(by), id),
    },
    advance(by: number) {
      now = seconds(now + by)
    },
    signIn,
    member,
    /** As by the user's approval in the page; the device does not enrol where an admin has to agree. */
    async letIn(organization: OrganizationId, by: Asker, user: UserId, asks?: DeviceRequest) {
      const { deviceCode, userCode } = await authorizations.start({
        possession: provePossession(
          proof(by, 'enrolment', UNKNOWN_ORGANIZATION),
          { purpose: 'enrolment', audience: publicUrl, field: 'proof' },
          now,
        ),
        ...{ name: by.name, system: 'test', requestedFrom: '192.0.2.1', source: 'c0000201' },
      })
      const approval = await approveDevice(enrolmentParts, userCode, organization, as(user))
      const poll = async () => {
        now = seconds(now + 2)
        const answer = await authorizations.poll(deviceCode)
        if (answer.kind !== 'token') return answer
        const asked = { token: answer.token }
        const credential = { credential: asked, requestedAddress: undefined, asks }
        await enrol(enrolmentParts, { ...described(by), ...credential }, byDevice(by))
        return answer
      }
      return { approval, poll, first: await poll() }
    },
    /** A registration key's secret; of Ada, an owner, unless it is another's. */
    async key(
      organization: OrganizationId,
      wanted: Partial<NewRegistrationKey> & { lasts?: number; by?: UserId } = {},
    ) {
      const { lasts = 3600, by = await member(organization, 'ada', 'owner'), ...rest } = wanted
      const asked = {
        description: 'a test',
        singleUse: false,
        expiresAt: seconds(now + lasts),
        ...rest,
      }
      const { secret } = await registrationKeys.create(organization, asked, as(by))
      return secret
    },
    enrol: (
      by: Asker,
      registrationKey: string,
      requestedAddress?: string,
      asks?: DeviceRequest,
    ): Promise<Membership> =>
      enrol(
        enrolmentParts,
        { ...described(by), credential: { registrationKey }, requestedAddress, asks },
        byDevice(by),
      ),
    renew: (
      by: Asker,
      organization: OrganizationId,
      request?: string,
      asks?: DeviceRequest,
    ): Promise<Membership> =>
      renew({ issuing, publicUrl, clock }, request ?? proof(by, 'renewal', organization), asks),
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

/** The code of the problem that a promise is rejected with; `none` where it is not. */
export function refusal(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'none',
    (error: unknown) => (error instanceof ProblemError ? error.code : String(error)),
  )
}
