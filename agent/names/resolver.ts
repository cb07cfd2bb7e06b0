/** Resolver: one message in, one out: by the zones, or by the resolvers that the organization names. */
import { answer } from './answer.ts'
import type { Forwarder } from './forwarder.ts'
import { encodeSaid, parseQuery, type Query } from './message.ts'
import type { Responder } from './server.ts'
import type { Zones } from './zones.ts'

export function resolver(zones: () => Zones, forwarder: Pick<Forwarder, 'ask'>): Responder {
  return async (bytes, by) => {
    const parsed = parseQuery(bytes)
    switch (parsed.kind) {
      case 'dropped':
        return undefined
      case 'refused':
        return parsed.bytes
      case 'query':
        return respond(parsed.query, by)
    }
  }

  async function respond(query: Query, by: 'udp' | 'tcp'): Promise<Buffer> {
    const found = answer(query.question, zones())
    if (found.kind === 'said') return encodeSaid(query, found, by)
    const forwarded = await forwarder.ask(query, found.forward, by)
    return forwarded ?? encodeSaid(query, { rcode: 'SERVFAIL', answers: [] }, by)
  }
}
