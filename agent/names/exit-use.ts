/** Exit use: while an exit is in use, every name that is nobody else's is asked of it, over the mesh. */
import type { IpAddress, Prefix } from '../../protocol/address.ts'
import { ROOT_DOMAIN } from '../../protocol/domain-name.ts'
import { type Exchange, exchange } from './exchange.ts'
import { heard } from './forwarded.ts'
import type { NameKnowledge } from './knowledge.ts'

export interface ExitUse {
  /** Of the exit, by which it is known to the forwarder; undefined: none is usable, and no name is found. */
  readonly address: IpAddress | undefined
  /** Prefixes that packets take other ways to than by the exit. */
  readonly beside: readonly Prefix[]
  /** A DNS message's answer; undefined: none came. Never rejects. */
  ask(question: Uint8Array): Promise<Uint8Array | undefined>
}

/** No organization can name it: so the exit's forward is told from every other. */
const EXIT_PORT = 0

/** The exit answers for the root, and so for what no other forward, and no zone, is nearer to. */
export function withExit(
  known: NameKnowledge | undefined,
  exit: ExitUse | undefined,
): NameKnowledge | undefined {
  if (known === undefined || exit === undefined) return known
  const { address } = exit
  const resolvers = address === undefined ? [] : [{ address, port: EXIT_PORT }]
  return { ...known, forwards: [...known.forwards, { domain: ROOT_DOMAIN, resolvers }] }
}

/** By the mesh to the exit, by this host's sockets to every other. */
export function exchangeWith(exit: () => ExitUse | undefined): Exchange {
  return async (to, sent, clock) => {
    if (to.port !== EXIT_PORT) return exchange(to, sent, clock)
    const used = exit()
    const answer = used?.address === to.address ? await used.ask(sent.bytes) : undefined
    if (answer === undefined) return undefined
    const found = heard(Buffer.from(answer), sent, 'tcp')
    return found.kind === 'answer' ? found.answer : undefined
  }
}
