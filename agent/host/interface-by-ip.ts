/** Interfaces by `ip`, of iproute2. */
import { addressFamily, type Prefix, parsePrefix } from '../../protocol/address.ts'
import {
  fieldsOf,
  numberField,
  optionalText,
  recordsOf,
  textField,
  textsOf,
} from '../json-fields.ts'
import type {
  ConfiguredInterface,
  InterfaceChange,
  InterfaceState,
  InterfaceTool,
  Link,
} from './interface-tool.ts'
import { readRoutes, routeCommand } from './routes.ts'
import { CommandError, type Commands } from './run.ts'

export function interfacesByIp(commands: Commands): InterfaceTool {
  const ip = async (...args: readonly string[]): Promise<void> =>
    void (await commands.run('ip', args))
  return {
    links: () => readLinks(commands),
    add: (name, kind) => ip('link', 'add', 'dev', name, 'type', kind),
    claim: (name, alias) => ip('link', 'set', 'dev', name, 'alias', alias, 'up'),
    delete: (name) => ip('link', 'delete', 'dev', name),
    read: (name) => readInterface(commands, name),
    apply: (name, changes) => batch(commands, name, changes),
  }
}

async function readLinks(commands: Commands): Promise<readonly Link[]> {
  const text = await commands.run('ip', ['-json', '-details', 'link', 'show'])
  return recordsOf(JSON.parse(text || '[]'), 'links').map((fields) => ({
    name: textField(fields, 'ifname'),
    kind: optionalText(fieldsOf(fields['linkinfo'] ?? {}, 'linkinfo'), 'info_kind') ?? '',
    alias: optionalText(fields, 'ifalias') ?? '',
  }))
}

async function readInterface(commands: Commands, name: string): Promise<InterfaceState> {
  const [text, routes] = await Promise.all([
    commands.run('ip', ['-json', 'address', 'show', 'dev', name]),
    readRoutes(commands, name),
  ])
  const [found = {}] = recordsOf(JSON.parse(text), 'addresses')
  return {
    mtu: found['mtu'] === undefined ? 0 : numberField(found, 'mtu'),
    isUp: textsOf(found['flags'] ?? [], 'flags').includes('UP'),
    addresses: recordsOf(found['addr_info'] ?? [], 'addr_info').flatMap((each) => {
      const local = optionalText(each, 'local')
      if (textField(each, 'scope') !== 'global' || local === undefined) return []
      return [`${parsePrefix(local).split('/')[0]}/${numberField(each, 'prefixlen')}` as Prefix]
    }),
    routes,
  }
}

/** A line of `ip -batch`. */
function line(name: string, change: InterfaceChange): string {
  switch (change.what) {
    case 'up':
      return `link set dev ${name} mtu ${change.mtu} up`
    case 'address':
      // No duplicate address detection: nobody else on a tunnel can answer it, and it delays the first packet.
      return `address add ${change.address} dev ${name}${addressFamily(change.address) === 6 ? ' nodad' : ''}`
    case 'no-address':
      return `address delete ${change.address} dev ${name}`
    default:
      return routeCommand(name, change)
  }
}

/** One process for all lines; a line that fails does not stop those after it. IPv6 is off where only lines
 *  of IPv6 failed, and said so: disabled by sysctl (EACCES), by a boot option or not built in. */
async function batch(
  commands: Commands,
  name: string,
  changes: readonly InterfaceChange[],
): Promise<ConfiguredInterface> {
  const lines = changes.map((change) => line(name, change))
  try {
    await commands.run('ip', ['-force', '-batch', '-'], { input: `${lines.join('\n')}\n` })
    return { hasIpv6: true }
  } catch (error) {
    if (error instanceof CommandError && isIpv6Off(error.stderr, lines)) return { hasIpv6: false }
    throw error
  }
}

/** @param stderr of `ip -batch`: what is wrong, and in the next line `Command failed -:<line>` */
function isIpv6Off(stderr: string, lines: readonly string[]): boolean {
  const faults = [...stderr.matchAll(/^(.*)\nCommand failed -:(\d+)$/gm)]
  return (
    faults.length > 0 &&
    faults.every(
      ([, reason = '', line]) =>
        /IPv6 is disabled|Permission denied|not supported/i.test(reason) &&
        lines[Number(line) - 1]?.includes(':'),
    )
  )
}
