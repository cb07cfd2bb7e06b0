/** Verdict: what the NAT of one address family means for this device, in a sentence. */
import type { NatReport } from '../../../protocol/nat-report.ts'

export interface Outlook {
  readonly report: NatReport
  /** Has the host an address of this family, outside the tunnel? */
  readonly hasAddress: boolean
  /** Is there a default route? */
  readonly hasGateway: boolean
  /** How many voices have said what they see. */
  readonly voices: number
}

export function verdictOf({ report, hasAddress, hasGateway, voices }: Outlook): string {
  const name = `IPv${report.family}`
  if (!hasAddress) return `no ${name} address: nothing goes over ${name}`
  if (report.udp === 'blocked') {
    return `UDP is blocked: nothing goes directly over ${name}, all by a relay over TCP`
  }
  if (report.udp === 'unknown') {
    return hasGateway
      ? `nobody has answered by UDP over ${name} yet: nothing is known`
      : `no default route and no answer: over ${name} only the local network can be reached`
  }
  if (report.mapping === 'unknown') {
    return voices < 2
      ? 'one observer is not enough to tell what the NAT does: direct where a check gets through, else by a relay'
      : 'the observers contradict each other: direct where a check gets through, else by a relay'
  }
  return `${MAPPINGS[report.mapping](report)}`
}

const ALL = 'direct with every device that this family reaches'
const SIMPLE =
  'direct with devices that have no NAT, a port mapping, or a NAT that keeps one mapping; by a relay with a device whose NAT makes a new mapping for each peer'

type Known = Exclude<NatReport['mapping'], 'unknown'>

const MAPPINGS: Readonly<Record<Known, (report: NatReport) => string>> = {
  none: ({ filtering }) =>
    filtering === 'endpoint-independent'
      ? `no NAT, and open to what nobody asked for: ${ALL}`
      : filtering === 'address-dependent'
        ? `no NAT, and a firewall that goes by addresses: ${ALL}`
        : `no NAT; unless a firewall drops what nobody asked for, ${ALL}; with such a firewall, ${SIMPLE}`,
  'endpoint-independent': ({ filtering }) =>
    filtering === 'unknown' || filtering === 'address-and-port-dependent'
      ? `a NAT that keeps one mapping: ${SIMPLE}`
      : `a NAT that keeps one mapping and lets strangers in: ${ALL}`,
  'address-dependent': () => HARD,
  'address-and-port-dependent': () => HARD,
}

const HARD =
  'a NAT that makes a new mapping for each peer: direct with devices that can be reached unasked (no NAT and no firewall, a port mapping, or a NAT that lets strangers in); by a relay with all others'
