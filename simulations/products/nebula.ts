/** Nebula (github.com/slackhq/nebula): a lighthouse at the hub, which also relays where that is wanted. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../lab/namespace.ts'
import { innerAddress, type Role, startDaemons } from './daemons.ts'
import { type Field, hostOf, memberNames, type Product } from './product.ts'
import { once } from './shared.ts'

const PORT = 4242
const COMMON = { commands: ['nebula', 'nebula-cert'], packages: ['nebula'], fits: () => true }

export const nebula: Product = { ...COMMON, name: 'nebula', open: (field) => open(field, false) }
export const nebulaRelay: Product = {
  ...COMMON,
  name: 'nebula+relay',
  open: (field) => open(field, true),
}

async function open(field: Field, isRelay: boolean): ReturnType<Product['open']> {
  const keys = await certificates(field.shared)
  const name = isRelay ? 'nebula-relay' : 'nebula'
  const roles: readonly Role[] = ['hub', ...memberNames(field)]
  const fileOf = (role: Role): string => join(field.lab.folder, `${name}-${role}.yml`)
  for (const role of roles) {
    await writeFile(fileOf(role), settings(field, keys, role, isRelay), { mode: 0o600 })
    if (role !== 'hub') hostOf(field, role)
  }
  return startDaemons(field, name, (role) => ({
    command: 'nebula',
    args: ['-config', fileOf(role)],
  }))
}

/** A folder with an authority's certificate and one for each role. */
function certificates(shared: string): Promise<string> {
  return once(join(shared, 'nebula'), async (folder) => {
    await mkdir(folder)
    const out = (name: string): readonly string[] => [
      ...['-out-crt', join(folder, `${name}.crt`), '-out-key', join(folder, `${name}.key`)],
    ]
    await run('nebula-cert', ['ca', '-name', 'laboratory', ...out('ca')])
    const ca = ['-ca-crt', join(folder, 'ca.crt'), '-ca-key', join(folder, 'ca.key')]
    for (const role of ['hub', 'a', 'b', 'c'] as const)
      await run('nebula-cert', [
        ...['sign', '-name', role, '-ip', `${innerAddress(role)}/24`, ...ca, ...out(role)],
      ])
  })
}

/** Its defaults, but for what the laboratory needs: any packet may pass. JSON is YAML. */
function settings({ hub }: Field, keys: string, role: Role, isRelay: boolean): string {
  const lighthouse = innerAddress('hub')
  const isHub = role === 'hub'
  const any = [{ port: 'any', proto: 'any', host: 'any' }]
  return JSON.stringify(
    {
      pki: {
        ca: join(keys, 'ca.crt'),
        cert: join(keys, `${role}.crt`),
        key: join(keys, `${role}.key`),
      },
      static_host_map: {
        [lighthouse]: [`${hub.address}:${PORT}`, `[2001:db8:${hub.site}::2]:${PORT}`],
      },
      lighthouse: { am_lighthouse: isHub, interval: 60, hosts: isHub ? [] : [lighthouse] },
      listen: { host: '::', port: PORT },
      punchy: { punch: true, respond: true },
      tun: { dev: 'nebula1', mtu: 1300 },
      relay: {
        am_relay: isHub && isRelay,
        use_relays: isRelay,
        relays: isRelay && !isHub ? [lighthouse] : [],
      },
      logging: { level: 'info', format: 'text' },
      firewall: { outbound: any, inbound: any },
    },
    undefined,
    1,
  )
}
