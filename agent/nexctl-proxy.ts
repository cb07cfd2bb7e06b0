/** nexctl's commands about the proxy: its rules, and the short way to publish a port. */
import { type Command, InvalidArgumentError } from 'commander'
import type { z } from 'zod'
import { columns } from './columns.ts'
import { PROXY, type ProxyReport } from './control/proxy-report.ts'

/** Asks, then prints JSON as it came or `column` of it. */
export type Show = <T>(
  shape: z.ZodType<T>,
  path: string,
  column: (answer: T) => string,
  body?: object,
  failed?: (answer: T) => boolean,
) => Promise<void>

interface RuleOptions {
  readonly ingress?: readonly string[]
  readonly egress?: readonly string[]
}

export function addProxyCommands(program: Command, show: Show): void {
  const proxy = program
    .command('nexd')
    .description('the agent itself')
    .command('proxy')
    .description('rules of the L4 proxy (nexd proxy)')
  for (const action of ['add', 'remove'] as const) {
    proxy
      .command(action)
      .option('--ingress <rule...>', 'tcp|udp:port:host:port, to a host of its local network')
      .option('--egress <rule...>', 'tcp|udp:port:host:port, to a device of the mesh')
      .description(
        action === 'add'
          ? 'add rules now and for every start to come'
          : 'remove rules; those given by options of nexd come back with its next start',
      )
      .action(({ ingress = [], egress = [] }: RuleOptions) =>
        show(PROXY, '/v1/proxy', rulesText, { action, ingress, egress }),
      )
  }
  proxy
    .command('list')
    .description('every rule, as it is given to add and remove')
    .action(() => show(PROXY, '/v1/proxy', rulesText))
  program
    .command('expose')
    .argument('<port>', 'of a TCP service on this host', port)
    .option('--as <port>', "of this device's addresses (the same)", port)
    .description('publish a local port to the organization, and show where it is reached')
    .action((local: number, { as: shown = local }: { as?: number }) =>
      show(PROXY, '/v1/proxy', (report) => exposedText(report, local, shown), {
        action: 'ensure',
        ingress: [`tcp:${shown}:127.0.0.1:${local}`],
      }),
    )
}

/** As upstream's: what to type to have them. */
function rulesText({ rules }: ProxyReport): string {
  if (rules.length === 0) return 'no rules'
  return columns(
    [],
    rules.map(({ direction, rule, isOption }) => [
      `--${direction} ${rule}`,
      ...(isOption ? ['(an option of nexd)'] : []),
    ]),
  )
}

export function exposedText({ addresses }: ProxyReport, local: number, shown: number): string {
  const where = addresses.map(
    (address) => `${address.includes(':') ? `[${address}]` : address}:${shown}`,
  )
  return `port ${local} of this host is reached at\n${where.map((each) => `  ${each}`).join('\n')}`
}

function port(text: string): number {
  const value = Number(text)
  if (Number.isInteger(value) && value >= 1 && value <= 65_535) return value
  throw new InvalidArgumentError('want 1 to 65535')
}
