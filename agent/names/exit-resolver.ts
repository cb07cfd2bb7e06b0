/** Exit resolver: what an exit says of the world's names to members that use it: what this host's own resolvers say,
 *  which reach where its packets leave. */
import { Resolver } from 'node:dns'
import type { RandomBytes } from '../../crypto/random.ts'
import { type Endpoint, parseIpAddress } from '../../protocol/address.ts'
import type { Clock } from '../../protocol/clock.ts'
import { isInDomain, ROOT_DOMAIN, TOP_DOMAIN } from '../../protocol/domain-name.ts'
import { MalformedError } from '../../protocol/errors.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import { type Exchange, exchange } from './exchange.ts'
import { Forwarder } from './forwarder.ts'
import { encodeSaid, parseQuery } from './message.ts'

export interface ExitResolverOptions {
  /** Is this device an exit now, and does its policy let the member's questions in? */
  mayAsk(from: DeviceId): boolean
  /** Of this host. */
  servers(): readonly Endpoint[]
  readonly exchange?: Exchange
  readonly clock: Clock
  readonly random: RandomBytes
}

/** Servers asked at most, as of resolv.conf(5). */
const SERVERS = 3

/** The answer to a DNS message; undefined: none. Never rejects. */
export type ExitAnswer = (from: DeviceId, question: Uint8Array) => Promise<Uint8Array | undefined>

export function exitResolver(options: ExitResolverOptions): ExitAnswer {
  const { mayAsk, servers, clock, random } = options
  const forwarder = new Forwarder({
    isReachable: () => true,
    exchange: options.exchange ?? exchange,
    clock,
    random,
  })
  let known = ''
  return async (from, bytes) => {
    const parsed = parseQuery(Buffer.from(bytes))
    if (parsed.kind !== 'query') return undefined
    // This host may know other organizations' names, which are none of the member's business.
    const isOurs = isInDomain(parsed.query.question.name, TOP_DOMAIN)
    if (isOurs || !mayAsk(from))
      return encodeSaid(parsed.query, { rcode: 'REFUSED', answers: [] }, 'tcp')
    const all = servers().slice(0, SERVERS)
    if (JSON.stringify(all) !== known) forwarder.forget()
    known = JSON.stringify(all)
    const forward = { domain: ROOT_DOMAIN, resolvers: all }
    const answer = await forwarder.ask(parsed.query, forward, 'tcp')
    return answer ?? encodeSaid(parsed.query, { rcode: 'SERVFAIL', answers: [] }, 'tcp')
  }
}

/** Name servers of this host, as its files say now. */
export function hostServers(
  texts: readonly string[] = new Resolver().getServers(),
): readonly Endpoint[] {
  return texts.flatMap((text) => {
    const [, bracketed, v4, port = '53'] =
      /^(?:\[([^\]]+)\]|([\d.]+)|[^[\]]+)(?::(\d+))?$/.exec(text) ?? []
    try {
      return [{ address: parseIpAddress(bracketed ?? v4 ?? text), port: Number(port) }]
    } catch (error) {
      // A link-local address means nothing without its link.
      if (error instanceof MalformedError) return []
      throw error
    }
  })
}
