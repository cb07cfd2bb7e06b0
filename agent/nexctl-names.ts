/** nexctl's words about names. */
import type { Command } from 'commander'
import { columns } from './columns.ts'
import { NAMES, type NamesReport, type NamesStatusReport } from './control/names-report.ts'
import type { Show } from './nexctl-proxy.ts'

export function addNamesCommand(program: Command, show: Show): void {
  program
    .command('names')
    .description('every name of the organization, its addresses, and who has them')
    .action(() => show(NAMES, '/v1/names', namesText))
}

const WAYS: Readonly<Record<NamesReport['by'], string>> = {
  'systemd-resolved': 'by systemd-resolved',
  resolvconf: 'by resolvconf',
  hosts: 'by /etc/hosts',
  none: 'not on this host',
  off: 'not on this host (--no-names)',
  proxy: 'by the SOCKS and HTTP listeners of the proxy',
}

/** `acme.nexodus by systemd-resolved, resolver 127.88.0.53:53` */
export function namesStatusText(status: NamesStatusReport | undefined): string {
  if (status?.domain === undefined) return 'none'
  const { domain, by, resolver } = status
  return `${domain} ${WAYS[by]}${resolver === undefined ? '' : `, resolver ${resolver}`}`
}

function forwardText(
  { domain, resolvers }: NamesReport['forwards'][number],
  isForwarding: boolean,
): string {
  const whom = resolvers.join(', ')
  if (domain !== '.')
    return `${domain} is asked of ${whom}${isForwarding ? '' : ', by our resolver alone'}`
  return whom === ''
    ? 'no other name is found: no exit is usable'
    : 'every other name is asked of the exit in use'
}

export function namesText(report: NamesReport): string {
  const { names, forwards, obstacles, by } = report
  const known = columns(
    ['NAME', 'ADDRESSES', 'DEVICE'],
    names.map(({ name, addresses, device, origin }) => [
      name,
      addresses.join(' '),
      device === undefined ? '-' : origin === 'record' ? `held by ${device}` : device,
    ]),
  )
  const isForwarding = by === 'systemd-resolved' || by === 'resolvconf'
  const lines = [
    namesStatusText(report),
    ...obstacles.map((each) => `  not by ${each}`),
    ...forwards.map((each) => forwardText(each, isForwarding)),
  ]
  return `${lines.join('\n')}\n\n${known}`
}
