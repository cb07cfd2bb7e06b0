/** Round: a gateway asked by all protocols at once; the first that maps the port wins. */
import type { Ask } from './ask.ts'
import {
  type Attempt,
  type Failure,
  MAPPING_PROTOCOLS,
  type MappingProtocol,
  type PortMapping,
} from './mapping.ts'
import { addressByNatPmp, mapByNatPmp, unmapByNatPmp } from './nat-pmp-client.ts'
import { mapByPcp, unmapByPcp } from './pcp-client.ts'
import { slept } from './udp-exchange.ts'

/** Milliseconds that a protocol waits for the answers to the preferred ones. */
const GRACE_MS = 400

export type Round =
  | { readonly kind: 'mapped'; readonly mapping: PortMapping }
  | { readonly kind: 'failed'; readonly failures: readonly Failure[] }

/** A protocol's two steps: what changes nothing at the gateway, and the mapping. */
type Prepare = (ask: Ask) => Promise<(() => Promise<Attempt>) | (Attempt & { kind: 'failed' })>

const PREPARE: Readonly<Record<MappingProtocol, Prepare>> = {
  // One packet asks and maps: were it two, the preferred protocol would be the slowest.
  pcp: async (ask) => () => mapByPcp(ask),
  'nat-pmp': async (ask) => {
    const found = await addressByNatPmp(ask)
    return found.kind === 'failed' ? found : () => mapByNatPmp(ask, found.address)
  },
  upnp: async (ask) => {
    const { discoverUpnp, mapByUpnp } = await import('./upnp-client.ts')
    const found = await discoverUpnp(ask)
    return found.kind === 'failed' ? found : () => mapByUpnp(ask, found.services)
  },
}

/** All are sounded out at once, and only the mapping itself waits its turn: a gateway that speaks all three
 *  is left with one. Resolves when one has mapped, or all have failed; a mapping that comes too late
 *  is removed, which `settled` waits for. */
export function askRound(
  ask: Ask,
  protocols: readonly MappingProtocol[] = MAPPING_PROTOCOLS,
): { readonly result: Promise<Round>; readonly settled: Promise<unknown> } {
  const first = Promise.withResolvers<Round>()
  let isMapped = false
  const failures: Failure[] = []
  const take = async (attempt: Attempt): Promise<void> => {
    if (attempt.kind === 'failed') failures.push(attempt.failure)
    else if (isMapped) await unmap(ask, attempt.mapping)
    else {
      isMapped = true
      first.resolve(attempt)
    }
  }
  const attempts: Promise<void>[] = []
  for (const protocol of protocols) {
    const better = [...attempts]
    const attempt = async (): Promise<void> => {
      const prepared = await PREPARE[protocol](ask)
      if (typeof prepared !== 'function') return take(prepared)
      await turn(ask, better)
      if (isMapped || ask.signal.aborted) return
      return take(await prepared())
    }
    attempts.push(attempt())
  }
  const settled = Promise.all(attempts).then(
    () => first.resolve({ kind: 'failed', failures: inOrder(failures) }),
    first.reject,
  )
  return { result: first.promise, settled }
}

/** When the preferred have answered, or had time to. */
async function turn({ clock, signal }: Ask, better: readonly Promise<void>[]): Promise<void> {
  if (better.length === 0) return
  const enough = new AbortController()
  const wait = slept(clock, GRACE_MS, AbortSignal.any([signal, enough.signal]))
  await Promise.race([wait, Promise.all(better)])
  enough.abort()
}

/** By the protocol that mapped. */
export async function renew(ask: Ask, mapping: PortMapping): Promise<Round> {
  const attempt = await again({ ...ask, suggested: mapping.external }, mapping)
  return attempt.kind === 'mapped' ? attempt : { kind: 'failed', failures: [attempt.failure] }
}

async function again(ask: Ask, { protocol, service }: PortMapping): Promise<Attempt> {
  if (protocol === 'upnp' && service !== undefined) {
    return (await import('./upnp-client.ts')).mapByUpnp(ask, [service])
  }
  const prepared = await PREPARE[protocol](ask)
  return typeof prepared === 'function' ? prepared() : prepared
}

/** Removes it at the gateway; resolves when that is done or can't be. */
export async function unmap(ask: Ask, mapping: PortMapping): Promise<void> {
  switch (mapping.protocol) {
    case 'pcp':
      return unmapByPcp({ ...ask, suggested: mapping.external })
    case 'nat-pmp':
      return unmapByNatPmp(ask)
    case 'upnp':
      return (await import('./upnp-client.ts')).unmapByUpnp(ask, mapping)
  }
}

function inOrder(failures: readonly Failure[]): readonly Failure[] {
  const place = ({ protocol }: Failure): number => MAPPING_PROTOCOLS.indexOf(protocol)
  return failures.toSorted((a, b) => place(a) - place(b))
}

/** In one line, for people. */
export function explainFailures(failures: readonly Failure[]): string {
  return failures.map(({ protocol, reason }) => `${protocol}: ${reason}`).join('; ')
}
