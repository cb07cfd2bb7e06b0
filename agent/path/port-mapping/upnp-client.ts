/** UPnP client: maps a port by the gateway's WANIPConnection or WANPPPConnection service. */

import { type Endpoint, type IpAddress, parseIpAddress } from '../../../protocol/address.ts'
import { MalformedError } from '../../../protocol/errors.ts'
import { type Seconds, seconds } from '../../../protocol/time.ts'
import { explain } from '../../errors.ts'
import { type Ask, granted, LIFETIME } from './ask.ts'
import { httpExchange } from './http-exchange.ts'
import { type Attempt, failed, type PortMapping, type UpnpService } from './mapping.ts'
import { searchGateway } from './upnp-search.ts'
import {
  type ActionAnswer,
  encodeAction,
  parseActionAnswer,
  parseDescription,
} from './upnp-text.ts'

/** Milliseconds for one answer over HTTP, and for all that a mapping takes. */
const [ANSWER_MS, ALL_MS] = [3000, 8000]
/** External ports that are tried where others have ours. */
const PORT_ATTEMPTS = 4
/** UPnP error codes (WANIPConnection:2 §2.5). */
const [CONFLICT, ONLY_PERMANENT] = [718, 725]

/** The gateway said no. */
class RefusedError extends Error {
  override readonly name = 'RefusedError'
  readonly code = 'ERR_PORT_MAPPING_REFUSED'
}

export type UpnpDiscovery =
  | { readonly kind: 'found'; readonly services: readonly UpnpService[] }
  | (Attempt & { readonly kind: 'failed' })

/** Changes nothing at the gateway. */
export async function discoverUpnp(ask: Ask): Promise<UpnpDiscovery> {
  const { gateway } = ask
  const searched = await searchGateway(gateway, ask)
  if (searched.kind === 'silent') return failed('upnp', 'silent', searched.reason)
  const url = searched.answer
  try {
    const { status, body } = await within(ask, ANSWER_MS, (signal) =>
      httpExchange({ url, source: gateway.source, method: 'GET', signal }),
    )
    if (status !== 200) return failed('upnp', 'refused', `description: HTTP status ${status}`)
    return { kind: 'found', services: parseDescription(body, url, gateway.address) }
  } catch (error) {
    return failed('upnp', 'refused', `description: ${explain(error)}`)
  }
}

/** By the first service that has an external address, at the external port that is free.
 *  Asks for the mapping, or renews it. */
export function mapByUpnp(ask: Ask, services: readonly UpnpService[]): Promise<Attempt> {
  return within(ask, ALL_MS, (signal) => mapByAny({ ...ask, signal }, services))
}

async function mapByAny(ask: Ask, services: readonly UpnpService[]): Promise<Attempt> {
  let refusal = failed('upnp', 'refused', 'no service')
  for (const service of services) {
    try {
      const address = await externalAddress(ask, service)
      const { port, lifetime } = await addMapping(ask, service)
      return granted({ protocol: 'upnp', external: { address, port }, lifetime, service })
    } catch (error) {
      refusal = failed('upnp', 'refused', explain(error))
    }
  }
  return refusal
}

/** Resolves when the gateway has said so. Throws where it does not. */
export async function unmapByUpnp(ask: Ask, { service, external }: PortMapping): Promise<void> {
  if (service === undefined) return
  const fields = { ...named(external.port), NewProtocol: 'UDP' }
  await act(ask, service, 'DeletePortMapping', fields)
}

async function externalAddress(ask: Ask, service: UpnpService): Promise<IpAddress> {
  const action = 'GetExternalIPAddress'
  const answer = await act(ask, service, action, {})
  if (answer.kind === 'refused') throw refusalOf(action, answer)
  return parseIpAddress(answer.fields.get('NewExternalIPAddress') ?? '')
}

async function addMapping(
  ask: Ask,
  service: UpnpService,
): Promise<{ port: Endpoint['port']; lifetime: Seconds }> {
  const action = 'AddPortMapping'
  let port = ask.suggested?.port ?? ask.internalPort
  let lease: number = LIFETIME
  for (let attempt = 0; attempt < PORT_ATTEMPTS; attempt += 1) {
    const answer = await act(ask, service, action, mappingFields(ask, port, lease))
    // A permanent one is renewed, too: that finds out when the gateway has lost it.
    if (answer.kind === 'done') return { port, lifetime: seconds(lease === 0 ? LIFETIME : lease) }
    if (answer.code === ONLY_PERMANENT && lease !== 0) lease = 0
    else if (answer.code === CONFLICT) port = anyPort(ask)
    else throw refusalOf(action, answer)
  }
  throw new RefusedError(`${action}: ${PORT_ATTEMPTS} external ports are taken`)
}

function mappingFields(
  { internalPort, gateway }: Ask,
  port: number,
  lease: number,
): Record<string, string | number> {
  return {
    ...named(port),
    NewProtocol: 'UDP',
    NewInternalPort: internalPort,
    NewInternalClient: gateway.source,
    NewEnabled: 1,
    NewPortMappingDescription: 'nexodus',
    NewLeaseDuration: lease,
  }
}

function named(port: number): Record<string, string | number> {
  return { NewRemoteHost: '', NewExternalPort: port }
}

/** Of the dynamic ones (RFC 6335 §6). */
function anyPort({ random }: Ask): number {
  const [high = 0, low = 0] = random(2)
  return 49_152 + (((high << 8) | low) & 0x3fff)
}

/** Throws when there is no answer, or one that makes no sense. */
async function act(
  ask: Ask,
  service: UpnpService,
  action: string,
  fields: Readonly<Record<string, string | number>>,
): Promise<ActionAnswer> {
  const { status, body } = await within(ask, ANSWER_MS, (signal) =>
    httpExchange({
      url: service.controlUrl,
      source: ask.gateway.source,
      method: 'POST',
      headers: {
        'content-type': 'text/xml; charset="utf-8"',
        soapaction: `"${service.type}#${action}"`,
      },
      body: encodeAction(service, action, fields),
      signal,
    }),
  )
  // A refusal comes with status 500 (UPnP Device Architecture 1.1 §3.2.5).
  if (status !== 200 && status !== 500) throw new MalformedError(`${action}: HTTP status ${status}`)
  const answer = parseActionAnswer(body, action)
  if (answer.kind === 'done' && status !== 200) throw new MalformedError(`${action}: HTTP 500`)
  return answer
}

function refusalOf(
  action: string,
  answer: ActionAnswer & { readonly kind: 'refused' },
): RefusedError {
  return new RefusedError(`${action}: ${answer.description || 'refused'} (${answer.code})`)
}

/** With a signal that is aborted after `ms`, too. */
async function within<T>(
  { clock, signal }: Ask,
  ms: number,
  task: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController()
  const timer = clock.after(ms, () => late.abort(new Error(`no answer within ${ms} ms`)))
  try {
    return await task(AbortSignal.any([signal, late.signal]))
  } finally {
    timer.cancel()
  }
}
