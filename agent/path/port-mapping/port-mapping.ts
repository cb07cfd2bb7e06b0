/** Port mappings of WireGuard's UDP port at the host's gateways: had, renewed, and removed at the end, by PCP
 *  (RFC 6887), NAT-PMP (RFC 6886) and UPnP; a pinhole in an IPv6 firewall by PCP alone. */
import { type AgreementKeyPair, privateBytesOf } from '../../../crypto/agreement.ts'
import { utf8 } from '../../../crypto/bytes.ts'
import { hkdfSha256 } from '../../../crypto/hash.ts'
import type { Endpoint } from '../../../protocol/address.ts'
import type { Cancellable } from '../../../protocol/clock.ts'
import { explain } from '../../errors.ts'
import type { Mapper, MapperOptions, PortMappingStatus } from './mapper.ts'
import { PCP_NONCE_BYTES } from './pcp.ts'
import { slept } from './udp-exchange.ts'

/** Milliseconds that a start waits: paths and relays that need no mapping are found first, and undisturbed. */
const START_DELAY_MS = 1500

export type { PortMappingStatus } from './mapper.ts'

export interface PortMappingOptions extends Omit<MapperOptions, 'family' | 'nonce' | 'onChange'> {
  /** PCP's nonce is made of it: a device that crashed can prove that a mapping is its own. */
  readonly wireguardKey: AgreementKeyPair
}

export interface PortMappings extends AsyncDisposable {
  /** What the gateways let in, as they say. */
  external(): readonly Endpoint[]
  /** Calls it when `external` has changed. */
  onChange(listener: () => void): Cancellable
  networkChanged(): void
  /** Of IPv4, then IPv6. */
  status(): readonly PortMappingStatus[]
}

/** Returns at once; mappings come when gateways answer. Disposing removes them, in three seconds at most. */
export function startPortMappings(options: PortMappingOptions): PortMappings {
  const listeners = new Set<() => void>()
  const onChange = (): void => {
    for (const listener of listeners) listener()
  }
  let mappers: readonly Mapper[] = []
  const start = async (): Promise<void> => {
    if (wait.signal.aborted) return
    const made = await import('./mapper.ts')
    const nonce = nonceOf(options.wireguardKey)
    mappers = ([4, 6] as const).map(
      (family) => new made.Mapper({ ...options, family, nonce, onChange }),
    )
    await Promise.all(mappers.map((mapper) => mapper.start()))
  }
  const failed = (error: unknown): void =>
    options.log('error', 'port-mapping.failed', { reason: explain(error) })
  const wait = new AbortController()
  const started = slept(options.clock, START_DELAY_MS, wait.signal).then(start).catch(failed)
  return {
    external: () => mappers.flatMap(({ external }) => external ?? []),
    onChange: (listener) => {
      listeners.add(listener)
      return { cancel: () => listeners.delete(listener) }
    },
    networkChanged: () => {
      for (const mapper of mappers) mapper.networkChanged().catch(failed)
    },
    status: () => mappers.map((mapper) => mapper.status()),
    [Symbol.asyncDispose]: async () => {
      wait.abort()
      await started
      await Promise.all(mappers.map((mapper) => mapper[Symbol.asyncDispose]()))
    },
  }
}

function nonceOf(key: AgreementKeyPair): Uint8Array {
  const info = utf8('nexodus pcp nonce')
  return hkdfSha256(privateBytesOf(key), new Uint8Array(), info, PCP_NONCE_BYTES)
}
