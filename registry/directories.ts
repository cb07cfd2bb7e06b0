/** What the pages ask for, answered by the rest of the registry. */
import { type Act, makerOf } from './act.ts'
import { type ApprovalParts, approveDevice } from './approval.ts'
import type { Device, Devices } from './devices.ts'
import { users } from './organizations.ts'
import type { RegistrationKeys } from './registration-keys.ts'
import type { Database } from './store/database.ts'
import type { DeviceDirectory, Directories } from './web/directories.ts'

export interface DirectoriesParts extends ApprovalParts {
  readonly database: Database
  readonly devices: Devices
  readonly registrationKeys: RegistrationKeys
}

export function openDirectories(parts: DirectoriesParts): Directories {
  const { database, devices, registrationKeys, authorizations, log } = parts
  return {
    devices: deviceDirectory(devices, parts),
    registrationKeys,
    approvals: {
      find: (userCode) => authorizations.find(userCode),
      approve: async (userCode, organization, by) =>
        approveDevice(parts, userCode, organization, await ownerName(database, by), by),
      deny: async (userCode, by) => {
        const denied = await authorizations.deny(userCode)
        if (denied) log('info', 'device.denied', { by: makerOf(by) })
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
      if (removed) log('info', 'device.removed', { organization, device, by: makerOf(by) })
      return removed
    },
    grantPrefix: async (organization, device, prefix, by) => {
      const grant = (known: Device) => ({ prefixes: [...known.prefixes, prefix] })
      return isDone(await devices.change(organization, device, grant, by))
    },
    withdrawPrefix: async (organization, device, prefix, by) => {
      const withdraw = (known: Device) => ({
        prefixes: known.prefixes.filter((each) => each !== prefix),
      })
      return isDone(await devices.change(organization, device, withdraw, by))
    },
  }
}

function isDone(changed: Device | undefined): boolean {
  return changed !== undefined
}

/** What certificates show as the owner. */
async function ownerName(database: Database, by: Act): Promise<string> {
  const id = makerOf(by)
  const user = await database.get(users, id)
  return user?.email ?? user?.name ?? id
}
