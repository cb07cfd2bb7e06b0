/** Registry addresses: where the names of registries lead, looked up now and then. */
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { type IpAddress, parseIpAddress } from '../../protocol/address.ts'
import type { Clock } from '../../protocol/clock.ts'
import { within } from '../within.ts'

/** Milliseconds between look-ups of one name. */
const LOOKUP_MS = 300_000
/** Milliseconds that the first look-up of all is waited for: afterwards names may be found by the exit alone. */
const FIRST_LOOKUP_MS = 2000

interface Found {
  readonly addresses: readonly IpAddress[]
  readonly atMs: number
}

export class RegistryAddresses {
  readonly #clock: Pick<Clock, 'monotonicMs' | 'sleep'>
  readonly #addressesOf: typeof addressesOf
  #found: ReadonlyMap<string, Found> = new Map()

  constructor(clock: Pick<Clock, 'monotonicMs' | 'sleep'>, find = addressesOf) {
    this.#clock = clock
    this.#addressesOf = find
  }

  get current(): readonly IpAddress[] {
    return [...this.#found.values()].flatMap(({ addresses }) => addresses)
  }

  /** Looks up in the background: a host without a working name server answers after minutes. Resolves at once where
   *  addresses are known, else when the look-up ends, or after 2 s.
   *  @param onLate there is another address now, and nobody waits for it any more */
  async lookUpAside(urls: readonly string[], onLate: () => void): Promise<void> {
    let isLate = this.current.length > 0
    const looking = this.lookUp(urls).then((isOther) => {
      if (isOther && isLate) onLate()
    })
    if (!isLate) await within(looking, FIRST_LOOKUP_MS, this.#clock)
    isLate = true
  }

  /** A registry that can't be looked up now keeps the addresses that it had. Resolves to: is there another one now? */
  async lookUp(urls: readonly string[]): Promise<boolean> {
    const before = this.current.join()
    const nowMs = this.#clock.monotonicMs()
    const hosts = [...new Set(urls.map((url) => new URL(url).hostname.replace(/^\[(.*)\]$/, '$1')))]
    const due = hosts.filter(
      (host) => nowMs - (this.#found.get(host)?.atMs ?? -Infinity) >= LOOKUP_MS,
    )
    const known = (host: string): Found => ({
      addresses: this.#found.get(host)?.addresses ?? [],
      // Nobody else asks meanwhile.
      atMs: due.includes(host) ? nowMs : (this.#found.get(host)?.atMs ?? nowMs),
    })
    this.#found = new Map(hosts.map((host) => [host, known(host)]))
    for (const host of due) {
      const addresses = await this.#addressesOf(host)
      if (addresses !== undefined)
        this.#found = new Map([...this.#found, [host, { addresses, atMs: nowMs }]])
    }
    return this.current.join() !== before
  }
}

async function addressesOf(host: string): Promise<readonly IpAddress[] | undefined> {
  if (isIP(host) > 0) return [parseIpAddress(host)]
  return lookup(host, { all: true })
    .then((all) => all.map(({ address }) => parseIpAddress(address)))
    .catch(() => undefined)
}
