/** What the pages ask for, answered by the rest of the registry. */
import type { Clock } from '../protocol/clock.ts'
import { makerOf } from './act.ts'
import { type ApprovalParts, approveDevice } from './approval.ts'
import type { Devices } from './devices.ts'
import { issuerExpiry } from './issuer-expiry.ts'
import { devicesThatWait } from './lock.ts'
import type { RegistrationKeys } from './registration-keys.ts'
import type { Database } from './store/database.ts'
import type { DeviceDirectory, Directories } from './web/directories.ts'

export interface DirectoriesParts extends ApprovalParts {
  readonly devices: Devices
  readonly registrationKeys: RegistrationKeys
  readonly database: Database
  readonly clock: Pick<Clock, 'now'>
}

export function openDirectories(parts: DirectoriesParts): Directories {
  const { devices, registrationKeys, authorizations, log } = parts
  return {
    devices: deviceDirectory(devices, parts),
    registrationKeys,
    custody: async (organization) => ({
      expiry: await issuerExpiry(parts, organization),
      waiting: await devicesThatWait(parts.database, organization),
    }),
    approvals: {
      find: (userCode) => authorizations.find(userCode),
      approve: (userCode, organization, by) => approveDevice(parts, userCode, organization, by),
      deny: async (userCode, by) => {
        const denied = await authorizations.deny(userCode)
        if (denied) log('info', 'device.denied', { id: by.requestId, by: makerOf(by) })
        return denied
      },
    },
  }
}

function deviceDirectory(devices: Devices, { log }: DirectoriesParts): DeviceDirectory {
  return {
    list: (organization) => devices.list(organization),
    async remove(organization, device, by) {
      const removed = await devices.remove(organization, device, by)
      const about = { id: by.requestId, organization, device, by: makerOf(by) }
      if (removed) log('info', 'device.removed', about)
      return removed
    },
  }
}
