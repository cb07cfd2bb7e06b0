/** tinc 1.0 (tinc-vpn.org): everybody connects to the hub, whose port 443 gets through most firewalls. */
import { chmod, copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../lab/namespace.ts'
import { innerAddress, type Role, startDaemons } from './daemons.ts'
import { type Field, memberNames, type Product } from './product.ts'
import { once } from './shared.ts'

const ROLES = ['hub', 'a', 'b', 'c'] as const
const DEVICE = 'tinc0'

export const tinc: Product = {
  name: 'tinc',
  commands: ['tincd'],
  packages: ['tinc'],
  fits: () => true,
  open: async (field) => {
    const keys = await rsaKeys(field.shared)
    const folderOf = (role: Role): string => join(field.lab.folder, `tinc-${role}`)
    const roles: readonly Role[] = ['hub', ...memberNames(field)]
    for (const role of roles) await setUp(field, keys, role, folderOf(role))
    return startDaemons(field, 'tinc', (role) => ({
      command: 'tincd',
      args: ['-c', folderOf(role), '-D', `--pidfile=${join(folderOf(role), 'pid')}`],
    }))
  },
}

/** A folder with a private and a public key for each role. */
function rsaKeys(shared: string): Promise<string> {
  return once(join(shared, 'tinc'), async (folder) => {
    for (const role of ROLES) {
      const own = join(folder, role)
      await mkdir(own, { recursive: true })
      // It asks for two file names; an empty line takes its own.
      await run('tincd', ['-c', own, '-K', '2048'], '\n\n')
    }
  })
}

async function setUp(field: Field, keys: string, role: Role, folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true })
  await mkdir(join(folder, 'hosts'), { recursive: true })
  const isHub = role === 'hub'
  const settings = [
    `Name = ${role}`,
    'Mode = router',
    `Interface = ${DEVICE}`,
    'DeviceType = tun',
    'AddressFamily = any',
    ...(isHub ? [] : ['ConnectTo = hub']),
  ]
  await writeFile(join(folder, 'tinc.conf'), `${settings.join('\n')}\n`)
  await copyFile(join(keys, role, 'rsa_key.priv'), join(folder, 'rsa_key.priv'))
  const up = join(folder, 'tinc-up')
  await writeFile(
    up,
    `#!/bin/sh\nip addr add ${innerAddress(role)}/24 dev ${DEVICE}\nip link set ${DEVICE} up mtu 1400\n`,
  )
  await chmod(up, 0o755)
  // The hub knows all; the others know the hub and learn the rest from it.
  const known = isHub ? (['hub', ...memberNames(field)] as const) : (['hub', role] as const)
  for (const other of known)
    await writeFile(join(folder, 'hosts', other), await hostFile(field, keys, other))
}

async function hostFile({ hub }: Field, keys: string, role: Role): Promise<string> {
  const settings =
    role === 'hub'
      ? [`Address = ${hub.address}`, `Address = 2001:db8:${hub.site}::2`, 'Port = 443']
      : ['Port = 655']
  const key = await readFile(join(keys, role, 'rsa_key.pub'), 'utf8')
  return [...settings, `Subnet = ${innerAddress(role)}/32`, key].join('\n')
}
