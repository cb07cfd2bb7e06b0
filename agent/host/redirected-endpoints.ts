/** Redirected endpoints: for a moment WireGuard's packets to a peer's other endpoints go to the one that is in use now.
 *  WireGuard sends to where the last packet came from, so that those still under way on the path that was left take it
 *  back there, and two sides with packets on both paths can go on so for minutes. Where this side sends by the new
 *  path alone, the other side soon does, too.
 *  A chain of the port share's table, which is written whole. It reroutes, for the other path may leave by another
 *  interface, and sets the source, which WireGuard keeps for each peer. */
import {
  type AddressFamily,
  addressFamily,
  type Endpoint,
  sameEndpoint,
} from '../../protocol/address.ts'
import type { Cancellable, Clock } from '../../protocol/clock.ts'
import { recordsOf, textField } from '../json-fields.ts'
import type { Commands } from './run.ts'

/** Milliseconds: longer than a packet is under way, and than a peer needs to follow. */
export const REDIRECTED_MS = 3000
/** Endpoints at once; the oldest goes first. Each costs a comparison for every packet of WireGuard's. */
export const REDIRECTIONS = 64
const CHAIN = 'redirected'

export interface RedirectedEndpoints {
  /** For 3 s what WireGuard sends to `others` goes to `endpoint`, or, from those of another family, to the agent,
   *  which carries it. Resolves when it does. Throws CommandError: the table is gone, or nothing leads to `endpoint`. */
  redirect(others: readonly Endpoint[], endpoint: Endpoint, carrier: Carrier): Promise<void>
}

/** Who carries for WireGuard. */
export interface Carrier {
  /** On the loopback; undefined where the host has no such family: then those endpoints are left alone. */
  endpointOf(family: AddressFamily): Endpoint | undefined
}

interface Redirection {
  readonly from: Endpoint
  readonly to: Endpoint
  readonly source: string
  readonly untilMs: number
}

/** The chain, empty: before conntrack, and before checks take WireGuard's source port. */
export const REDIRECTING_CHAIN = `  chain ${CHAIN} {
    type route hook output priority raw - 1; policy accept;
  }
`

/** @param table of the port share for `listenPort`, which is installed */
export function redirectedEndpoints(
  table: string,
  listenPort: number,
  commands: Pick<Commands, 'run'>,
  clock: Pick<Clock, 'monotonicMs' | 'after'>,
): RedirectedEndpoints & Disposable {
  let known: readonly Redirection[] = []
  let ending: Cancellable | undefined
  let writing: Promise<unknown> = Promise.resolve()
  const write = (): Promise<void> => {
    const written = writing.then(async () => {
      const rules = known.map((redirection) => ruleOf(table, listenPort, redirection))
      const input = [`flush chain inet ${table} ${CHAIN}`, ...rules, ''].join('\n')
      await commands.run('nft', ['-f', '-'], { input })
    })
    writing = written.catch(() => undefined)
    return written
  }
  const sweep = (): void => {
    ending?.cancel()
    ending = undefined
    if (known.length === 0) return
    const nextMs = Math.min(...known.map(({ untilMs }) => untilMs))
    ending = clock.after(Math.max(1, nextMs - clock.monotonicMs()), () => {
      known = known.filter(({ untilMs }) => untilMs > clock.monotonicMs())
      sweep()
      // A table that is gone redirects nothing.
      write().catch(() => undefined)
    })
  }
  return {
    redirect: async (others, endpoint, carrier) => {
      const froms = others.filter((other) => !sameEndpoint(other, endpoint))
      if (froms.length === 0) return
      const source = await sourceTowards(endpoint, commands)
      const untilMs = clock.monotonicMs() + REDIRECTED_MS
      const family = addressFamily(endpoint.address)
      const fresh = froms.flatMap((from): readonly Redirection[] => {
        const own = addressFamily(from.address)
        if (own === family) return [{ from, to: endpoint, source, untilMs }]
        const to = carrier.endpointOf(own)
        return to === undefined ? [] : [{ from, to, source: to.address, untilMs }]
      })
      const isKept = ({ from }: Redirection) =>
        !sameEndpoint(from, endpoint) && !froms.some((other) => sameEndpoint(other, from))
      known = [...known.filter(isKept), ...fresh].slice(-REDIRECTIONS)
      sweep()
      await write()
    },
    [Symbol.dispose]: () => ending?.cancel(),
  }
}

async function sourceTowards(
  { address }: Endpoint,
  commands: Pick<Commands, 'run'>,
): Promise<string> {
  const text = await commands.run('ip', ['-json', 'route', 'get', address])
  const [route = {}] = recordsOf(JSON.parse(text), 'route get')
  return textField(route, 'prefsrc')
}

function ruleOf(table: string, listenPort: number, { from, to, source }: Redirection): string {
  const ip = addressFamily(from.address) === 4 ? 'ip' : 'ip6'
  return `add rule inet ${table} ${CHAIN} udp sport ${listenPort} ${ip} daddr ${from.address} udp dport ${from.port} ${ip} daddr set ${to.address} udp dport set ${to.port} ${ip} saddr set ${source}`
}
