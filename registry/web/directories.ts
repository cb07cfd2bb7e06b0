/** What the pages need of the rest of the registry, and nothing more. */
import type { OrganizationId } from '../../protocol/keys.ts'
import type { Seconds } from '../../protocol/time.ts'
import type { Act } from '../act.ts'
import type { Approval } from '../approval.ts'
import type { Device } from '../devices.ts'
import type { IssuerExpiry } from '../issuer-expiry.ts'
import type { RegistrationKey, RegistrationKeys } from '../registration-keys.ts'

/** What an organization's people must know of its issuer and its lock. */
export interface Custody {
  readonly expiry: IssuerExpiry | undefined
  /** Ids of devices that no approver has approved. */
  readonly waiting: ReadonlySet<string>
}

/** Each function takes an organization its caller has proved to belong to (`organizationFor`). */
export interface DeviceDirectory {
  list(organization: OrganizationId): Promise<readonly Device[]>
  /** Revokes its certificates in a new manifest. False when there is no such device. */
  remove(organization: OrganizationId, device: string, by: Act): Promise<boolean>
}

export type RegistrationKeyRow = RegistrationKey

export type RegistrationKeyDirectory = Pick<
  RegistrationKeys,
  'list' | 'create' | 'revoke' | 'describe'
>

/** A device that waits for a person's decision (RFC 8628). */
export interface PendingDevice {
  /** As shown on the device: `XXXX-XXXX`. */
  readonly userCode: string
  readonly name: string
  readonly system: string
  /** The IP address that asked. */
  readonly requestedFrom: string
  /** Of the device key, as the device shows it too. */
  readonly fingerprint: string
  readonly expiresAt: Seconds
}

export interface Approvals {
  /** The code is taken as typed: any case, with or without dash and spaces. Undefined when unknown,
   *  expired or decided. */
  find(userCode: string): Promise<PendingDevice | undefined>
  /** Undefined when it was unknown, expired or decided meanwhile. */
  approve(userCode: string, organization: OrganizationId, by: Act): Promise<Approval | undefined>
  /** False when it was unknown, expired or decided meanwhile. */
  deny(userCode: string, by: Act): Promise<boolean>
}

export interface Directories {
  custody(organization: OrganizationId): Promise<Custody>
  readonly devices: DeviceDirectory
  readonly registrationKeys: RegistrationKeyDirectory
  readonly approvals: Approvals
}
