/** Policy rules: version 1 of the policy body, security groups flattened to numbered rules (SPEC §14). */
import { type AddressRange, formatAddressRange, parseAddressRange } from './address-range.ts'
import { type Claims, integer, list, mapItem, oneOf, text, texts } from './claims.ts'
import type { CborMap, CborValue } from './codec.ts'
import { encodeCbor } from './codec.ts'
import { MalformedError } from './errors.ts'
import {
  POLICY_BYTES,
  POLICY_RANGES,
  POLICY_RULES,
  POLICY_SELECTORS,
  TEXT_CHARACTERS,
} from './limits.ts'

/** Seen from the device that has the rule: who begins the flow. Order is the wire's. */
export const DIRECTIONS = ['inbound', 'outbound'] as const
export type Direction = (typeof DIRECTIONS)[number]

/** What happens to a flow. Order is the wire's. */
export const VERDICTS = ['accept', 'deny'] as const
export type PolicyVerdict = (typeof VERDICTS)[number]

/** Order is the wire's, and only grows. Empty: whatever there is. */
export const RULE_PROTOCOLS = [
  '',
  'tcp',
  'udp',
  'icmp',
  'icmpv4',
  'icmpv6',
  'ipv4',
  'ipv6',
] as const
export type RuleProtocol = (typeof RULE_PROTOCOLS)[number]

/** The security group that every device is in. */
export const EVERY_DEVICE = '*'

export interface PortRange {
  /** 1 to 65535, not above `to`. */
  readonly from: number
  readonly to: number
}

/** Lets flows pass, never more: rules have no order, and none forbids. */
export interface PolicyRule {
  /** Whose rule it is: devices with this group in their certificate, or EVERY_DEVICE. */
  readonly securityGroup: string
  readonly direction: Direction
  readonly protocol: RuleProtocol
  /** Destination ports; undefined is any. Without a protocol that has ports: those of TCP and of UDP. */
  readonly ports?: PortRange
  /** The other end is in any of these four; all empty is anybody. */
  readonly ranges: readonly AddressRange[]
  readonly groups: readonly string[]
  readonly users: readonly string[]
  readonly devices: readonly string[]
}

export interface PolicyRules {
  /** Counts the organization's policies: what an agent says it enforces. 0 is the policy of version 0. */
  readonly revision: number
  /** For a direction in which none of a device's security groups has a rule. */
  readonly defaults: Readonly<Record<Direction, PolicyVerdict>>
  /** Rule n of messages is the nth here. */
  readonly rules: readonly PolicyRule[]
}

/** Of version 0. */
export const NO_RULES: PolicyRules = {
  revision: 0,
  defaults: { inbound: 'accept', outbound: 'accept' },
  rules: [],
}

const REVISION = { key: 1, name: 'revision' }
const DEFAULT_INBOUND = { key: 2, name: 'default inbound' }
const DEFAULT_OUTBOUND = { key: 3, name: 'default outbound' }
const RULES = { key: 4, name: 'rules' }
const BODY_FIELDS = [REVISION, DEFAULT_INBOUND, DEFAULT_OUTBOUND, RULES]

const GROUP = { key: 1, name: 'security group' }
const DIRECTION = { key: 2, name: 'direction' }
const PROTOCOL = { key: 3, name: 'protocol' }
const FROM_PORT = { key: 4, name: 'from port' }
const TO_PORT = { key: 5, name: 'to port' }
const RANGE = { key: 6, name: 'ranges' }
const GROUPS_OF_PEER = { key: 7, name: 'groups' }
const USERS = { key: 8, name: 'users' }
const DEVICES = { key: 9, name: 'devices' }
const RULE_FIELDS = [
  ...[GROUP, DIRECTION, PROTOCOL, FROM_PORT, TO_PORT],
  ...[RANGE, GROUPS_OF_PEER, USERS, DEVICES],
]

/** Throws MalformedError where the rules are more than a manifest holds. */
export function encodePolicyRules({ revision, defaults, rules }: PolicyRules): CborMap {
  if (rules.length > POLICY_RULES) {
    throw new MalformedError(`policy: has ${rules.length} rules, want at most ${POLICY_RULES}`)
  }
  const body: CborMap = new Map<CborValue, CborValue>([
    [REVISION.key, revision],
    [DEFAULT_INBOUND.key, VERDICTS.indexOf(defaults.inbound)],
    [DEFAULT_OUTBOUND.key, VERDICTS.indexOf(defaults.outbound)],
    [RULES.key, rules.map(encodeRule)],
  ])
  const { length } = encodeCbor(body)
  if (length <= POLICY_BYTES) return body
  throw new MalformedError(
    `policy: takes ${length} bytes in a manifest, want at most ${POLICY_BYTES} (name groups where many ranges, users or devices are named)`,
  )
}

function encodeRule(rule: PolicyRule): CborMap {
  const { securityGroup, direction, protocol, ports } = rule
  const lists: [{ readonly key: number }, readonly string[]][] = [
    [RANGE, rule.ranges.map(formatAddressRange)],
    [GROUPS_OF_PEER, rule.groups],
    [USERS, rule.users],
    [DEVICES, rule.devices],
  ]
  return new Map<CborValue, CborValue>([
    [GROUP.key, securityGroup],
    [DIRECTION.key, DIRECTIONS.indexOf(direction)],
    [PROTOCOL.key, RULE_PROTOCOLS.indexOf(protocol)],
    ...(ports === undefined ? [] : portFields(ports)),
    ...lists.flatMap(([{ key }, items]): [CborValue, CborValue][] =>
      items.length === 0 ? [] : [[key, [...items]]],
    ),
  ])
}

function portFields({ from, to }: PortRange): [CborValue, CborValue][] {
  return [
    [FROM_PORT.key, from],
    [TO_PORT.key, to],
  ]
}

/** Throws MalformedError, also for a field or a word of a later version: what it restricts is not known. */
export function parsePolicyRules(body: CborMap): PolicyRules {
  const claims: Claims = { what: 'policy', map: body }
  onlyFields(claims, BODY_FIELDS)
  const verdict = (field: typeof DEFAULT_INBOUND): PolicyVerdict =>
    oneOf(known(claims, field, VERDICTS.length), field, VERDICTS)
  return {
    revision: integer(claims, REVISION, 1, 2 ** 48),
    defaults: { inbound: verdict(DEFAULT_INBOUND), outbound: verdict(DEFAULT_OUTBOUND) },
    rules: list(claims, RULES, POLICY_RULES, (item) => parseRule(mapItem(claims, RULES, item))),
  }
}

function parseRule(claims: Claims): PolicyRule {
  onlyFields(claims, RULE_FIELDS)
  const names = (field: typeof USERS): readonly string[] =>
    texts(claims, field, POLICY_SELECTORS, TEXT_CHARACTERS)
  return {
    securityGroup: text(claims, GROUP, TEXT_CHARACTERS),
    direction: oneOf(known(claims, DIRECTION, DIRECTIONS.length), DIRECTION, DIRECTIONS),
    protocol: oneOf(known(claims, PROTOCOL, RULE_PROTOCOLS.length), PROTOCOL, RULE_PROTOCOLS),
    ...parsePorts(claims),
    ranges: list(claims, RANGE, POLICY_RANGES, parseRange),
    groups: names(GROUPS_OF_PEER),
    users: names(USERS),
    devices: names(DEVICES),
  }
}

function parsePorts(claims: Claims): { readonly ports?: PortRange } {
  if (!claims.map.has(FROM_PORT.key) && !claims.map.has(TO_PORT.key)) return {}
  const from = integer(claims, FROM_PORT, 1, 65_535)
  return { ports: { from, to: integer(claims, TO_PORT, from, 65_535) } }
}

function parseRange(item: CborValue): AddressRange {
  if (typeof item !== 'string') throw new MalformedError('policy: a range must be text')
  const range = parseAddressRange(item)
  if (formatAddressRange(range) === item) return range
  throw new MalformedError(`policy: range "${item}" is not canonical`)
}

/** The claims, where the enumeration's position is one that this version has. */
function known(claims: Claims, field: typeof DIRECTION, count: number): Claims {
  integer(claims, field, 0, count - 1)
  return claims
}

function onlyFields({ what, map }: Claims, fields: readonly { readonly key: number }[]): void {
  const keys = new Set<CborValue>(fields.map(({ key }) => key))
  for (const key of map.keys()) {
    if (!keys.has(key)) throw new MalformedError(`${what}: field ${key} is of a later version`)
  }
}
