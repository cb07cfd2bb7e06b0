/** Does spraying pay between this device and a peer, and at which addresses? It does where one side's NAT makes a
 *  new mapping for each destination and the other's, or its firewall, keeps one and lets in only what was asked. */
import {
  type AddressFamily,
  addressFamily,
  type Endpoint,
  type IpAddress,
} from '../../../protocol/address.ts'
import type { CandidateKind } from '../../../protocol/endpoint-update.ts'
import type { NatReport } from '../../../protocol/nat-report.ts'
import { isDependent } from '../nat/mapping.ts'
import { scopeOf } from '../nat/scope.ts'
import type { SpraySide } from './spray-state.ts'

const FAMILIES = [6, 4] as const

export interface SprayAddresses {
  /** Of the hard side's NAT. */
  readonly address: IpAddress
  /** The easy side's mapped endpoint. */
  readonly target: Endpoint
}

/** Undefined: it does not, for all that the two say. */
export function sprayAddresses(hard: SpraySide, easy: SpraySide): SprayAddresses | undefined {
  for (const family of FAMILIES) {
    const { addresses, target } = publicOnes(hard, easy, family)
    const [address] = addresses
    if (address !== undefined && target !== undefined) return { address, target }
  }
  return undefined
}

/** May the easy side spray at the address? Only at one that others see the hard side at, as itself has signed. */
export function isSprayable(hard: SpraySide, easy: SpraySide, address: IpAddress): boolean {
  const { addresses, target } = publicOnes(hard, easy, addressFamily(address))
  return target !== undefined && addresses.includes(address)
}

/** Of one family: addresses of the hard side's NAT, and the easy side's mapped endpoint. Two at one public address
 *  are behind one NAT, and meet in the network behind it. */
function publicOnes(
  hard: SpraySide,
  easy: SpraySide,
  family: AddressFamily,
): { readonly addresses: readonly IpAddress[]; readonly target: Endpoint | undefined } {
  const [ofHard, ofEasy] = [hard, easy].map(({ nat }) => nat.find((one) => one.family === family))
  if (ofHard === undefined || !isHard(ofHard) || ofEasy === undefined || !isEasy(ofEasy))
    return { addresses: [], target: undefined }
  const kind = ofEasy.mapping === 'none' ? 'host' : 'server-reflexive'
  const targets = publicEndpoints(easy, kind, family)
  const addresses = publicEndpoints(hard, 'server-reflexive', family).map(({ address }) => address)
  return {
    addresses: addresses.filter((address) => !isAt(easy, address)),
    target: targets.find(({ address }) => !isAt(hard, address)),
  }
}

function isAt({ candidates }: SpraySide, address: IpAddress): boolean {
  return candidates.some((one) => one.address === address)
}

function isHard({ mapping, udp }: NatReport): boolean {
  return isDependent(mapping) && udp !== 'blocked'
}

/** Whoever lets strangers in, or all ports of whom it has sent to, is reached by ordinary checks. */
function isEasy({ mapping, filtering, udp }: NatReport): boolean {
  if (udp === 'blocked') return false
  if (filtering !== 'unknown' && filtering !== 'address-and-port-dependent') return false
  return mapping === 'endpoint-independent' || mapping === 'none'
}

/** Never in a local network, nor between a carrier's NAT and its customers. */
function publicEndpoints(
  { candidates }: SpraySide,
  kind: CandidateKind,
  family: AddressFamily,
): readonly Endpoint[] {
  return candidates
    .filter(
      (one) =>
        one.kind === kind &&
        addressFamily(one.address) === family &&
        scopeOf(one.address) === 'global',
    )
    .map(({ address, port }) => ({ address, port }))
}
