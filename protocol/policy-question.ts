/** Policy question: "may laptop reach db:5432?", as people ask it, in dry runs and in the tests of a policy. */
import {
  type AddressFamily,
  addressFamily,
  type IpAddress,
  parseIpAddress,
  prefixAddress,
} from './address.ts'
import { MalformedError } from './errors.ts'
import {
  decide,
  type PolicyDecision,
  type PolicyDevice,
  type PolicyPeer,
  PROTOCOL_NUMBERS,
} from './policy-decision.ts'
import { holders, type PolicyMember } from './policy-holders.ts'
import type { PolicyRules, PolicyVerdict } from './policy-rules.ts'

export const QUESTION_PROTOCOLS = ['tcp', 'udp', 'icmp'] as const
export type QuestionProtocol = (typeof QUESTION_PROTOCOLS)[number]

export interface PolicyQuestion {
  /** A device's name, an address, `group:NAME` or `user:NAME`: any device of the group, or of the user. */
  readonly from: string
  readonly to: string
  readonly protocol: QuestionProtocol
  /** Of TCP and UDP. */
  readonly port?: number
}

/** A question and the answer that it must have. */
export interface PolicyTest extends PolicyQuestion {
  readonly expect: PolicyVerdict
}

/** Both ends decide, and either alone suffices to deny. */
export interface PolicyAnswer {
  readonly family: AddressFamily
  readonly verdict: PolicyVerdict
  /** At the sender. */
  readonly outbound: PolicyDecision
  /** At the receiver. */
  readonly inbound: PolicyDecision
}

const FORM = '"FROM -> TO:PORT tcp|udp", or "FROM -> TO icmp"'

/** `laptop -> db:5432 tcp`; `→` is as good, tcp need not be said, and an IPv6 address is in brackets before a port.
 *  Throws MalformedError. */
export function parsePolicyQuestion(text: string): PolicyQuestion {
  const shown = `policy question "${text.slice(0, 200)}"`
  const parts = /^\s*(\S.*?)\s*(?:->|→)\s*(\S+)(?:\s+(\S+))?\s*$/u.exec(text)
  if (parts === null) throw new MalformedError(`${shown}: want ${FORM}`)
  const [, from = '', target = '', word] = parts
  const { to, port } = splitPort(target)
  const protocol = word ?? (port === undefined ? 'icmp' : 'tcp')
  if (!isProtocol(protocol)) {
    throw new MalformedError(`${shown}: protocol is "${protocol}", want tcp, udp or icmp`)
  }
  if ((protocol === 'icmp') !== (port === undefined)) {
    throw new MalformedError(
      `${shown}: ${port === undefined ? `${protocol} needs a port` : 'icmp has no ports'}, want ${FORM}`,
    )
  }
  if (port === undefined) return { from, to, protocol }
  if (port >= 1 && port <= 65_535) return { from, to, protocol, port }
  throw new MalformedError(`${shown}: port is ${port}, want 1 to 65535`)
}

/** `laptop -> db:5432 tcp: accept`. Throws MalformedError. */
export function parsePolicyTest(text: string): PolicyTest {
  const at = text.lastIndexOf(': ')
  const expect = text.slice(at + 1).trim()
  if (at < 0 || (expect !== 'accept' && expect !== 'deny')) {
    throw new MalformedError(
      `policy test "${text.slice(0, 200)}": want ": accept" or ": deny" at its end`,
    )
  }
  return { ...parsePolicyQuestion(text.slice(0, at)), expect }
}

export function formatPolicyQuestion({ from, to, protocol, port }: PolicyQuestion): string {
  const target = port === undefined ? to : to.includes(':') && isAddress(to) ? `[${to}]` : to
  return `${from} -> ${target}${port === undefined ? '' : `:${port}`} ${protocol}`
}

/** For each address family that both ends have, IPv4 first. Throws MalformedError where an end names no device of the
 *  organization, or the two have no family in common. */
export function answerPolicyQuestion(
  policy: PolicyRules,
  question: PolicyQuestion,
  members: readonly PolicyMember[],
): readonly PolicyAnswer[] {
  const [from, to] = [partyOf(question.from, members), partyOf(question.to, members)]
  const families = ([4, 6] as const).filter(
    (family) => from.families.includes(family) && to.families.includes(family),
  )
  if (families.length === 0) {
    throw new MalformedError(
      `policy question: "${question.from}" and "${question.to}" have no address family in common`,
    )
  }
  return families.map((family) => answer(policy, question, family, from.of(family), to.of(family)))
}

function answer(
  policy: PolicyRules,
  { protocol, port }: PolicyQuestion,
  family: AddressFamily,
  from: PolicyPeer,
  to: PolicyPeer,
): PolicyAnswer {
  const number = protocol === 'icmp' && family === 6 ? 'icmpv6' : protocol
  const traffic = { family, protocol: PROTOCOL_NUMBERS[number], port }
  const outbound = decide(policy, 'outbound', from.device ?? NOBODY, to, traffic)
  const inbound = decide(policy, 'inbound', to.device ?? NOBODY, from, traffic)
  const isAccepted = outbound.verdict === 'accept' && inbound.verdict === 'accept'
  return { family, verdict: isAccepted ? 'accept' : 'deny', outbound, inbound }
}

/** What an address that nobody holds belongs to: no such flow passes by any device. */
const NOBODY: PolicyDevice = { name: '', owner: '', groups: [] }

interface Party {
  readonly families: readonly AddressFamily[]
  of(family: AddressFamily): PolicyPeer
}

function partyOf(text: string, members: readonly PolicyMember[]): Party {
  const [, kind, name = ''] = /^(group|user):(.+)$/u.exec(text) ?? []
  if (kind === 'group') return anyDevice({ name: '', owner: '', groups: [name] })
  if (kind === 'user') return anyDevice({ name: '', owner: name, groups: [] })
  if (isAddress(text)) return addressParty(parseIpAddress(text), members)
  const device = members.find((member) => member.name === text)
  if (device !== undefined) return deviceParty(device)
  throw new MalformedError(
    `policy question: the organization has no device "${text}" (also an address, group:NAME or user:NAME)`,
  )
}

/** Some device with no address in particular. */
function anyDevice(device: PolicyDevice): Party {
  return { families: [4, 6], of: () => ({ device }) }
}

function deviceParty(device: PolicyMember): Party {
  const address = (family: AddressFamily): IpAddress | undefined =>
    device.prefixes.map(prefixAddress).find((each) => addressFamily(each) === family)
  return {
    families: ([4, 6] as const).filter((family) => address(family) !== undefined),
    of: (family) => ({ device, address: address(family) }),
  }
}

function addressParty(address: IpAddress, members: readonly PolicyMember[]): Party {
  const device = holders(members).find(address)
  if (device === undefined) {
    throw new MalformedError(`policy question: no device of the organization holds ${address}`)
  }
  return { families: [addressFamily(address)], of: () => ({ device, address }) }
}

function splitPort(target: string): { readonly to: string; readonly port?: number } {
  const bracketed = /^\[([^\]]+)\](?::(\d{1,5}))?$/.exec(target)
  if (bracketed !== null) return withPort(bracketed[1] ?? '', bracketed[2])
  if (isAddress(target)) return { to: target }
  const [, to = target, port] = /^(.+):(\d{1,5})$/.exec(target) ?? []
  return withPort(to, port)
}

function withPort(to: string, port: string | undefined): { to: string; port?: number } {
  return port === undefined ? { to } : { to, port: Number(port) }
}

function isProtocol(word: string): word is QuestionProtocol {
  return (QUESTION_PROTOCOLS as readonly string[]).includes(word)
}

function isAddress(text: string): boolean {
  try {
    parseIpAddress(text)
    return true
  } catch (error) {
    if (error instanceof MalformedError) return false
    throw error
  }
}
