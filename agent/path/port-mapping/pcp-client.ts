/** PCP client (RFC 6887 §8.1, §11): asks the gateway for a mapping, and to remove it. */
import { equal } from '../../../crypto/bytes.ts'
import { addressFamily, type IpAddress } from '../../../protocol/address.ts'
import { type Seconds, seconds } from '../../../protocol/time.ts'
import { type Ask, granted, LIFETIME, parsed } from './ask.ts'
import { type Attempt, failed } from './mapping.ts'
import { encodePcpMapRequest, type PcpResponse, parsePcpResponse } from './pcp.ts'
import { type Exchanged, exchange } from './udp-exchange.ts'

/** The port of PCP and NAT-PMP servers. */
export const SERVER_PORT = 5351
const ANY = { 4: '0.0.0.0' as IpAddress, 6: '::' as IpAddress }

/** Asks for the mapping, or renews it. */
export async function mapByPcp(ask: Ask): Promise<Attempt> {
  const exchanged = await askMap(ask, LIFETIME)
  if (exchanged.kind === 'silent') return failed('pcp', 'silent', exchanged.reason)
  const { answer } = exchanged
  if (answer.kind === 'other-version') {
    return failed('pcp', 'refused', `speaks version ${answer.version}`)
  }
  if (answer.result !== 'success' || answer.map === undefined) {
    return failed('pcp', 'refused', answer.result)
  }
  const { lifetime, epoch, map } = answer
  return granted({ protocol: 'pcp', external: map.external, lifetime, epoch })
}

/** Resolves when the gateway has said so, or does not answer. */
export async function unmapByPcp(ask: Ask): Promise<void> {
  await askMap(ask, seconds(0))
}

function askMap(ask: Ask, lifetime: Seconds): Promise<Exchanged<PcpResponse>> {
  const { gateway, nonce, internalPort } = ask
  const suggested = ask.suggested ?? {
    address: ANY[addressFamily(gateway.source)],
    port: internalPort,
  }
  const client = gateway.source
  return exchange<PcpResponse>({
    ...ask,
    port: SERVER_PORT,
    request: encodePcpMapRequest({ client, nonce, internalPort, suggested, lifetime }),
    take: (datagram) => {
      const answer = parsed(parsePcpResponse, datagram)
      if (answer === undefined || answer.kind === 'other-version') return answer
      const isOurs =
        answer.map !== undefined &&
        equal(answer.map.nonce, nonce) &&
        answer.map.internalPort === internalPort
      return isOurs ? answer : undefined
    },
  })
}
