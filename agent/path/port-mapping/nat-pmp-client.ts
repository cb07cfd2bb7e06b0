/** NAT-PMP client (RFC 6886 §3): asks the gateway for its address, for a mapping, and to remove it. */
import type { IpAddress } from '../../../protocol/address.ts'
import { seconds } from '../../../protocol/time.ts'
import { type Ask, granted, LIFETIME, parsed } from './ask.ts'
import { type Attempt, failed } from './mapping.ts'
import {
  encodeNatPmpMapRequest,
  NAT_PMP_ADDRESS_REQUEST,
  type NatPmpMap,
  type NatPmpResponse,
  parseNatPmpResponse,
} from './nat-pmp.ts'
import { SERVER_PORT } from './pcp-client.ts'
import { type Exchanged, exchange } from './udp-exchange.ts'

export type NatPmpAddress =
  | { readonly kind: 'address'; readonly address: IpAddress }
  | (Attempt & { readonly kind: 'failed' })

/** Changes nothing at the gateway. */
export async function addressByNatPmp(ask: Ask): Promise<NatPmpAddress> {
  const exchanged = await askGateway(ask, NAT_PMP_ADDRESS_REQUEST, (answer) =>
    answer.kind === 'error' ? answer.about === 'address' : answer.kind !== 'map',
  )
  if (exchanged.kind === 'silent') return failed('nat-pmp', 'silent', exchanged.reason)
  const { answer } = exchanged
  return answer.kind === 'address' ? answer : failed('nat-pmp', 'refused', reasonOf(answer))
}

/** Asks for the mapping, or renews it. The answer names the external port alone.
 *  @param address what the gateway says its external address is */
export async function mapByNatPmp(ask: Ask, address: IpAddress): Promise<Attempt> {
  const { internalPort, suggested } = ask
  const externalPort = suggested?.port ?? internalPort
  const exchanged = await askMap(ask, { internalPort, externalPort, lifetime: LIFETIME })
  if (exchanged.kind === 'silent') return failed('nat-pmp', 'silent', exchanged.reason)
  const { answer } = exchanged
  if (answer.kind !== 'map') return failed('nat-pmp', 'refused', reasonOf(answer))
  return granted({
    protocol: 'nat-pmp',
    external: { address, port: answer.externalPort },
    lifetime: answer.lifetime,
    epoch: answer.epoch,
  })
}

/** Resolves when the gateway has said so, or does not answer. */
export async function unmapByNatPmp(ask: Ask): Promise<void> {
  await askMap(ask, { internalPort: ask.internalPort, externalPort: 0, lifetime: seconds(0) })
}

function askMap(ask: Ask, map: NatPmpMap): Promise<Exchanged<NatPmpResponse>> {
  return askGateway(ask, encodeNatPmpMapRequest(map), (answer) => {
    if (answer.kind === 'map') return answer.internalPort === map.internalPort
    return answer.kind === 'error' ? answer.about === 'map' : answer.kind === 'other-version'
  })
}

function askGateway(
  ask: Ask,
  request: Uint8Array,
  isAnswer: (answer: NatPmpResponse) => boolean,
): Promise<Exchanged<NatPmpResponse>> {
  return exchange<NatPmpResponse>({
    ...ask,
    port: SERVER_PORT,
    request,
    take: (datagram) => {
      const answer = parsed(parseNatPmpResponse, datagram)
      return answer !== undefined && isAnswer(answer) ? answer : undefined
    },
  })
}

function reasonOf(answer: NatPmpResponse): string {
  if (answer.kind === 'error') return answer.result
  return answer.kind === 'other-version' ? `speaks version ${answer.version}` : answer.kind
}
