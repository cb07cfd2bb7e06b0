/** The registries that an agent knows: one is asked, and where it does not answer the next. */
import type { OrganizationId } from '../protocol/keys.ts'
import { OperatorError } from './errors.ts'
import { knownRegistries, REGISTRIES } from './known-registries.ts'
import {
  type Applicant,
  type Issued,
  type RegistryClient,
  RegistryRefusal,
} from './registry-client.ts'
import type { Join } from './state-directory.ts'

type Renewing = Pick<RegistryClient, 'renew'>

export class Registries implements Renewing {
  readonly #clientOf: (url: string) => Renewing
  readonly #clients = new Map<string, Renewing>()
  /** The one that answered last comes first. */
  #urls: readonly string[]

  constructor(
    { registry, registries }: Pick<Join, 'registry' | 'registries'>,
    clientOf: (url: string) => Renewing,
  ) {
    this.#urls = knownRegistries(registry, registries)
    this.#clientOf = clientOf
  }

  /** Throws what the first of them said, where none can: OperatorError (ERR_REGISTRY) or RegistryRefusal. */
  async renew(by: Applicant, organization: OrganizationId): Promise<Issued> {
    let first: unknown
    for (const url of this.#urls) {
      try {
        const issued = await this.#client(url).renew(by, organization)
        this.#urls = knownRegistries(url, [...this.#urls, ...issued.registries])
        return issued
      } catch (error) {
        if (!isOutOfOrder(error)) throw error
        first ??= error
      }
    }
    throw first
  }

  #client(url: string): Renewing {
    const known = this.#clients.get(url) ?? this.#clientOf(url)
    if (this.#clients.size >= 2 * REGISTRIES) this.#clients.clear()
    this.#clients.set(url, known)
    return known
  }
}

/** Another registry may well answer: this one is down, or its store is. */
function isOutOfOrder(error: unknown): boolean {
  if (error instanceof RegistryRefusal) return error.status >= 500
  return error instanceof OperatorError && error.code === 'ERR_REGISTRY'
}
