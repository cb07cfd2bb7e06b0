/** Exit state: what the kernel has of rules and routes to an exit, in the words in which policy routing wants them. */
import { z } from 'zod'
import type { AddressFamily } from '../../protocol/address.ts'
import { ROUTE_PROTOCOL } from './routes.ts'
import { CommandError, type Commands } from './run.ts'

/** Of one family, as lines of a batch without their verbs. */
export interface ExitState {
  readonly rules: readonly string[]
  readonly routes: readonly string[]
}

/** What IPv6 gives a route that names none. */
const IPV6_METRIC = 1024

/** `ip -json rule show`. */
const RULES = z.array(
  z.looseObject({
    priority: z.number(),
    src: z.string(),
    srclen: z.number().optional(),
    ipproto: z.string().optional(),
    sport: z.number().optional(),
    dport: z.number().optional(),
    table: z.string().optional(),
    suppress_prefixlen: z.number().optional(),
    protocol: z.union([z.string(), z.number()]).optional(),
  }),
)
const ROUTES = z.array(
  z.looseObject({
    type: z.string().optional(),
    dst: z.string(),
    dev: z.string().optional(),
    prefsrc: z.string().optional(),
    metric: z.number().optional(),
    metrics: z.array(z.looseObject({ mtu: z.number().optional() })).optional(),
    protocol: z.union([z.string(), z.number()]).optional(),
  }),
)

/** Rules of our protocol number, whosever they are; routes of the table. Throws CommandError. */
export async function readExitState(
  commands: Commands,
  table: number,
  family: AddressFamily,
): Promise<ExitState> {
  const [rules, routes] = await Promise.all([
    readOwnRules(commands, family),
    shown(commands, family, ['route', 'show', 'table', `${table}`]),
  ])
  return {
    rules: rules.map(ruleText),
    routes: ROUTES.parse(routes)
      .filter(isOurs)
      .map((route) => routeText(route, table)),
  }
}

/** Rules of our protocol number, whosever they are. Throws CommandError. */
export async function readOwnRules(
  commands: Commands,
  family: AddressFamily,
): Promise<z.output<typeof RULES>> {
  return RULES.parse(await shown(commands, family, ['rule', 'show'])).filter(isOurs)
}

async function shown(
  commands: Commands,
  family: AddressFamily,
  asked: readonly string[],
): Promise<unknown> {
  const text = await commands.run('ip', ['-json', `-${family}`, ...asked]).catch(absent(family))
  return JSON.parse(text.trim() || '[]')
}

function isOurs({ protocol }: { readonly protocol?: string | number | undefined }): boolean {
  return String(protocol) === String(ROUTE_PROTOCOL)
}

/** Nothing is there where the table is not, and of IPv6 where that is switched off. */
function absent(family: AddressFamily): (error: unknown) => string {
  return (error) => {
    if (!(error instanceof CommandError)) throw error
    if (/table does not exist/.test(error.stderr)) return ''
    if (family === 6 && /not supported|disabled/i.test(error.stderr)) return ''
    throw error
  }
}

function ruleText(rule: z.output<typeof RULES>[number]): string {
  const { src, srclen, suppress_prefixlen: suppressed } = rule
  return words([
    ['priority', rule.priority],
    ['ipproto', rule.ipproto],
    ['sport', rule.sport],
    ['dport', rule.dport],
    ['from', src === 'all' ? undefined : `${src}${srclen === undefined ? '' : `/${srclen}`}`],
    ['lookup', rule.table],
    ['suppress_prefixlength', suppressed],
    ['protocol', ROUTE_PROTOCOL],
  ])
}

/** A route that is no way out has no device, whatever IPv6 says. */
function routeText(route: z.output<typeof ROUTES>[number], table: number): string {
  const { type, dst, dev, prefsrc, metric, metrics = [] } = route
  const mtu = metrics.find((each) => each.mtu !== undefined)?.mtu
  return words([
    [type ?? '', dst],
    ['dev', type === undefined ? dev : undefined],
    ['src', prefsrc],
    ['mtu', mtu],
    ['metric', metric === IPV6_METRIC ? undefined : metric],
    ['table', table],
    ['proto', ROUTE_PROTOCOL],
  ]).trim()
}

function words(pairs: readonly (readonly [string, string | number | undefined])[]): string {
  return pairs
    .flatMap(([word, value]) => (value === undefined ? [] : [`${word} ${value}`]))
    .join(' ')
}

/** What names a route, for deleting it. */
export function routeKey(route: string): string {
  return route.replace(/ (src|mtu) \S+/g, '')
}
