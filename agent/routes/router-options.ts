/** Router options of nexd: what this device routes for others from its start. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import {
  hostPrefix,
  type IpAddress,
  isDefaultPrefix,
  type Prefix,
  parsePrefix,
  prefixContains,
} from '../../protocol/address.ts'
import { parseRouteProbe, type RouteProbe } from '../../protocol/route-probe.ts'
import { explain, OperatorError } from '../errors.ts'
import { booleanField, type Fields, numberField, textsOf } from '../json-fields.ts'
import { USUAL_METRIC } from './next-claim.ts'
import type { Advertised } from './own-routes.ts'

export interface RouterOptionValues {
  readonly advertised: readonly Advertised[]
  /** Forward to what is advertised. */
  readonly networkRouter: boolean
  readonly nat: boolean
}

const EXIT_PREFIXES = ['0.0.0.0/0', '::/0'].map(parsePrefix)

export function addRouterOptions(command: Command): Command {
  for (const option of options()) command.addOption(option)
  return command
}

function options(): readonly Option[] {
  return [
    new Option(
      '--advertise-cidr <prefix...>',
      'prefixes that others reach through this device; an admin grants them',
    )
      .default([])
      .env('NEXODUS_ADVERTISE_CIDR'),
    new Option('--network-router', 'forward what others send to these prefixes')
      .default(false)
      .env('NEXODUS_NETWORK_ROUTER'),
    new Option(
      '--disable-nat',
      "leave others' source addresses as they are: the networks need a route back",
    )
      .default(false)
      .env('NEXODUS_DISABLE_NAT'),
    new Option('--exit-node', 'let others leave to the internet by this device')
      .default(false)
      .env('NEXODUS_EXIT_NODE'),
    new Option('--metric <n>', 'of several routers of one prefix the lowest goes first')
      .default(USUAL_METRIC)
      .argParser(metric)
      .env('NEXODUS_METRIC'),
    new Option(
      '--probe <target...>',
      'by which others see that a prefix works: icmp:address, tcp:address:port, http://address:port/path',
    )
      .default([])
      .env('NEXODUS_PROBE'),
  ]
}

/** Of what the command line or the environment gave. Throws OperatorError. */
export function routerOptionsOf(fields: Fields): RouterOptionValues {
  const prefixes = listed(fields['advertiseCidr'] ?? [], 'advertise-cidr').map(cidr)
  const probes = listed(fields['probe'] ?? [], 'probe').map((text) => read(text, parseRouteProbe))
  const isExit = flag(fields, 'exitNode')
  const given = numberField({ metric: USUAL_METRIC, ...fields }, 'metric')
  for (const probe of probes) {
    if (!prefixes.some((prefix) => isIn(prefix, probe)))
      throw usage(`--probe ${targetOf(probe)}: in none of the prefixes of --advertise-cidr`)
  }
  const all = [...new Set([...prefixes, ...(isExit ? EXIT_PREFIXES : [])])]
  return {
    advertised: all.map((prefix) => ({
      ...{ prefix, metric: given },
      probe: isDefaultPrefix(prefix) ? undefined : probes.find((probe) => isIn(prefix, probe)),
    })),
    networkRouter: flag(fields, 'networkRouter') || isExit,
    nat: !flag(fields, 'disableNat'),
  }
}

/** From the environment they come as one text, separated by commas. */
function listed(value: unknown, name: string): readonly string[] {
  return typeof value === 'string'
    ? value.split(',').map((each) => each.trim())
    : textsOf(value, name)
}

function flag(fields: Fields, name: string): boolean {
  return fields[name] !== undefined && booleanField(fields, name)
}

function cidr(text: string): Prefix {
  const prefix = read(text, parsePrefix)
  if (isDefaultPrefix(prefix)) throw usage(`--advertise-cidr ${prefix}: say --exit-node`)
  return prefix
}

function isIn(prefix: Prefix, probe: RouteProbe): boolean {
  return prefixContains(prefix, hostPrefix(targetOf(probe)))
}

function targetOf(probe: RouteProbe): IpAddress {
  return probe.kind === 'icmp' ? probe.address : probe.endpoint.address
}

function read<T>(text: string, parse: (text: string) => T): T {
  try {
    return parse(text)
  } catch (error) {
    throw usage(explain(error))
  }
}

function usage(message: string): OperatorError {
  return new OperatorError('ERR_USAGE', message)
}

function metric(text: string): number {
  const value = Number(text)
  if (text.trim() !== '' && Number.isInteger(value) && value >= 0 && value <= 65_536) return value
  throw new InvalidArgumentError('want 0 to 65536')
}
