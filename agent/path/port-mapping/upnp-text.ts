/** What UPnP says in text: answers to a search (SSDP), device descriptions and SOAP (UPnP Device
 *  Architecture 1.1 §1.3, §2, §3), read strictly. */
import { parseXml, XmlElement } from '@rgrove/parse-xml'
import { fromUtf8 } from '../../../crypto/bytes.ts'
import type { IpAddress } from '../../../protocol/address.ts'
import { MalformedError } from '../../../protocol/errors.ts'
import type { UpnpService } from './mapping.ts'

/** Bytes of an answer to a search: it fits a datagram. */
const SEARCH_ANSWER_BYTES = 1472
/** Services of one gateway that are tried. */
const SERVICES = 4
/** Those that map ports; the preferred first. */
const SERVICE_TYPES: readonly string[] = [
  'urn:schemas-upnp-org:service:WANIPConnection:2',
  'urn:schemas-upnp-org:service:WANIPConnection:1',
  'urn:schemas-upnp-org:service:WANPPPConnection:1',
]
const SEARCH_TARGET = 'urn:schemas-upnp-org:device:InternetGatewayDevice:1'

/** Devices answer within a second; version 2 answers for version 1, too (§1.3.2). */
export function encodeSearch(host: string): string {
  return [
    'M-SEARCH * HTTP/1.1',
    `HOST: ${host}:1900`,
    'MAN: "ssdp:discover"',
    'MX: 1',
    `ST: ${SEARCH_TARGET}`,
    '',
    '',
  ].join('\r\n')
}

/** Where the description is. Throws MalformedError: not an answer of a gateway, or it points elsewhere. */
export function parseSearchAnswer(bytes: Uint8Array, gateway: IpAddress): URL {
  if (bytes.length > SEARCH_ANSWER_BYTES) {
    throw new MalformedError(
      `search answer of ${bytes.length} bytes, want ${SEARCH_ANSWER_BYTES} at most`,
    )
  }
  const [status = '', ...lines] = asText(bytes, 'search answer').split(/\r?\n/)
  if (!/^HTTP\/1\.[01] 200 /.test(`${status} `)) throw new MalformedError('search answer: no 200')
  const field = (name: string): string =>
    lines.find((line) => line.toLowerCase().startsWith(`${name}:`))?.slice(name.length + 1) ?? ''
  if (!/:InternetGatewayDevice:\d+$/.test(field('st').trim())) {
    throw new MalformedError('search answer: ST is no InternetGatewayDevice')
  }
  return parseUrl(field('location').trim(), undefined, gateway)
}

/** The services that map ports, the preferred first. Throws MalformedError. */
export function parseDescription(
  bytes: Uint8Array,
  location: URL,
  gateway: IpAddress,
): readonly UpnpService[] {
  const root = parseElement(bytes, 'device description')
  const base = childText(root, 'URLBase') || location.href
  const services = descendants(root, 'service')
    .map((service) => ({
      type: childText(service, 'serviceType'),
      path: childText(service, 'controlURL'),
    }))
    .filter(({ type }) => preference(type) >= 0)
    .toSorted((a, b) => preference(a.type) - preference(b.type))
    .slice(0, SERVICES)
  if (services.length === 0) {
    throw new MalformedError('device description: no service that maps ports')
  }
  return services.map(({ type, path }) => ({ type, controlUrl: parseUrl(path, base, gateway) }))
}

function preference(type: string): number {
  return SERVICE_TYPES.indexOf(type)
}

/** Arguments in the order of the service's description, as some devices want them. */
export function encodeAction(
  { type }: UpnpService,
  action: string,
  fields: Readonly<Record<string, string | number>>,
): string {
  const inner = Object.entries(fields).map(([name, value]) => `<${name}>${value}</${name}>`)
  return [
    '<?xml version="1.0"?>',
    '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/">',
    `<s:Body><u:${action} xmlns:u="${type}">${inner.join('')}</u:${action}></s:Body></s:Envelope>`,
  ].join('\r\n')
}

export type ActionAnswer =
  | { readonly kind: 'done'; readonly fields: ReadonlyMap<string, string> }
  | { readonly kind: 'refused'; readonly code: number; readonly description: string }

/** Throws MalformedError on what answers another action. */
export function parseActionAnswer(bytes: Uint8Array, action: string): ActionAnswer {
  const root = parseElement(bytes, 'SOAP answer')
  const [error] = descendants(root, 'UPnPError')
  if (error !== undefined) {
    const code = Number(childText(error, 'errorCode'))
    const description = childText(error, 'errorDescription').replace(/[^ -~]/g, '?')
    return { kind: 'refused', code, description: description.slice(0, 64) }
  }
  const [answer] = descendants(root, `${action}Response`)
  if (answer === undefined) throw new MalformedError(`SOAP answer: no ${action}Response`)
  return {
    kind: 'done',
    fields: new Map(elements(answer).map((each) => [localName(each), each.text.trim()])),
  }
}

/** Of the gateway itself, over http, whatever it was made of. */
function parseUrl(text: string, base: string | undefined, gateway: IpAddress): URL {
  const url = URL.parse(text, base)
  if (url === null || url.protocol !== 'http:' || url.username !== '' || url.password !== '') {
    throw new MalformedError(`URL "${text.slice(0, 100)}", want http://${gateway}`)
  }
  if (url.hostname !== gateway) {
    throw new MalformedError(`URL of another host "${url.hostname.slice(0, 64)}", want ${gateway}`)
  }
  return url
}

/** Nesting without end, entities and what else XML can do to a reader end here, too. */
function parseElement(bytes: Uint8Array, what: string): XmlElement {
  const text = asText(bytes, what)
  if (/<!DOCTYPE/i.test(text)) throw new MalformedError(`${what}: has a document type`)
  try {
    const { root } = parseXml(text.trim())
    if (root !== null) return root
  } catch (cause) {
    throw new MalformedError(`${what}: no XML`, { cause })
  }
  throw new MalformedError(`${what}: no element`)
}

function asText(bytes: Uint8Array, what: string): string {
  try {
    return fromUtf8(bytes)
  } catch (cause) {
    throw new MalformedError(`${what}: not UTF-8`, { cause })
  }
}

function elements(parent: XmlElement): readonly XmlElement[] {
  return parent.children.filter((child) => child instanceof XmlElement)
}

/** Without the prefix of its name space. */
function localName({ name }: XmlElement): string {
  return name.slice(name.indexOf(':') + 1)
}

/** In the order of the document, without recursion. */
function descendants(root: XmlElement, name: string): readonly XmlElement[] {
  const found: XmlElement[] = []
  const waiting = [root]
  for (let element = waiting.pop(); element !== undefined; element = waiting.pop()) {
    if (localName(element) === name) found.push(element)
    waiting.push(...elements(element).toReversed())
  }
  return found
}

function childText(parent: XmlElement, name: string): string {
  return (
    elements(parent)
      .find((child) => localName(child) === name)
      ?.text.trim() ?? ''
  )
}
