/** Policy decision: may a flow pass at a device? The reference that every enforcement is measured by (SPEC §14). */
import type { AddressFamily, IpAddress } from './address.ts'
import { rangeContains } from './address-range.ts'
import {
  type Direction,
  EVERY_DEVICE,
  type PolicyRule,
  type PolicyRules,
  type PolicyVerdict,
  type RuleProtocol,
} from './policy-rules.ts'

/** What rules know of a device: its membership certificate's words. */
export interface PolicyDevice {
  readonly name: string
  readonly owner: string
  readonly groups: readonly string[]
}

/** The other end of a flow. */
export interface PolicyPeer {
  /** Whose certificate or advertisement the address is; undefined: nobody's. */
  readonly device?: PolicyDevice | undefined
  /** Undefined: one that is in no range. */
  readonly address?: IpAddress | undefined
}

/** Of a flow's first packet. */
export interface PolicyTraffic {
  readonly family: AddressFamily
  /** IANA protocol number. */
  readonly protocol: number
  /** Destination port, of TCP and UDP. */
  readonly port?: number | undefined
}

export const PROTOCOL_NUMBERS = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58 } as const

export interface PolicyDecision {
  readonly verdict: PolicyVerdict
  /** From 1: the rule that accepts. Without one: the default decided, or no rule of those that apply accepts. */
  readonly rule?: number
  readonly by: 'rule' | 'default' | 'no-rule'
}

/** A rule with its number in the policy, from 1. */
export interface NumberedRule {
  readonly number: number
  readonly rule: PolicyRule
}

/** The rules of one direction that a device has by its groups. */
export function rulesOf(
  policy: PolicyRules,
  device: Pick<PolicyDevice, 'groups'>,
  direction: Direction,
): readonly NumberedRule[] {
  return policy.rules
    .map((rule, index) => ({ number: index + 1, rule }))
    .filter(
      ({ rule }) =>
        rule.direction === direction &&
        (rule.securityGroup === EVERY_DEVICE || device.groups.includes(rule.securityGroup)),
    )
}

/** Total. Inbound: `device` is the destination and `peer` the source; outbound the other way round. */
export function decide(
  policy: PolicyRules,
  direction: Direction,
  device: PolicyDevice,
  peer: PolicyPeer,
  traffic: PolicyTraffic,
): PolicyDecision {
  const rules = rulesOf(policy, device, direction)
  if (rules.length === 0) return { verdict: policy.defaults[direction], by: 'default' }
  const accepting = rules.find(({ rule }) => isPeerOf(rule, peer) && isTrafficOf(rule, traffic))
  if (accepting === undefined) return { verdict: 'deny', by: 'no-rule' }
  return { verdict: 'accept', rule: accepting.number, by: 'rule' }
}

/** Does the rule name the other end? */
export function isPeerOf(rule: PolicyRule, { device, address }: PolicyPeer): boolean {
  if (isForAnybody(rule)) return true
  if (address !== undefined && rule.ranges.some((range) => rangeContains(range, address)))
    return true
  return device !== undefined && isDeviceOf(rule, device)
}

/** Does the rule name no other end at all? */
export function isForAnybody({ ranges, groups, users, devices }: PolicyRule): boolean {
  return ranges.length + groups.length + users.length + devices.length === 0
}

/** Does the rule name this device, by group, user or name? */
export function isDeviceOf(rule: PolicyRule, device: PolicyDevice): boolean {
  return (
    rule.devices.includes(device.name) ||
    rule.users.includes(device.owner) ||
    rule.groups.some((group) => group === EVERY_DEVICE || device.groups.includes(group))
  )
}

/** Does a rule of `device` name one of the two others and not the other one? Else whatever either may, so may the other. */
export function tellsApart(
  policy: PolicyRules,
  device: Pick<PolicyDevice, 'groups'>,
  one: PolicyDevice,
  other: PolicyDevice,
): boolean {
  return (['inbound', 'outbound'] as const).some((direction) =>
    rulesOf(policy, device, direction).some(
      ({ rule }) => isDeviceOf(rule, one) !== isDeviceOf(rule, other),
    ),
  )
}

export function isTrafficOf(rule: PolicyRule, { family, protocol, port }: PolicyTraffic): boolean {
  const { families, protocols } = reachOf(rule)
  if (!families.includes(family)) return false
  if (protocols !== 'any' && !protocols.includes(protocol)) return false
  const { ports } = rule
  if (ports === undefined) return true
  return port !== undefined && ports.from <= port && port <= ports.to
}

/** What a rule lets pass, but for its ports. */
export function reachOf(rule: PolicyRule): {
  readonly families: readonly AddressFamily[]
  readonly protocols: readonly number[] | 'any'
} {
  const { families, protocols } = REACH[rule.protocol]
  const withPorts = [PROTOCOL_NUMBERS.tcp, PROTOCOL_NUMBERS.udp]
  if (rule.ports === undefined) return { families, protocols }
  if (protocols === 'any') return { families, protocols: withPorts }
  return { families, protocols: protocols.filter((each) => withPorts.some((it) => it === each)) }
}

interface Reach {
  readonly families: readonly AddressFamily[]
  readonly protocols: readonly number[] | 'any'
}

const { icmp, icmpv6, tcp, udp } = PROTOCOL_NUMBERS
/** As upstream's grammar has it: `icmp` is that of either family. */
const REACH: Readonly<Record<RuleProtocol, Reach>> = {
  '': { families: [4, 6], protocols: 'any' },
  tcp: { families: [4, 6], protocols: [tcp] },
  udp: { families: [4, 6], protocols: [udp] },
  icmp: { families: [4, 6], protocols: [icmp, icmpv6] },
  icmpv4: { families: [4], protocols: [icmp] },
  icmpv6: { families: [6], protocols: [icmpv6] },
  ipv4: { families: [4], protocols: 'any' },
  ipv6: { families: [6], protocols: 'any' },
}
