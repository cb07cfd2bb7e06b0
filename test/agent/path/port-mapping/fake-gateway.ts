/** A gateway of a test's own on loopback addresses: says what it is told to, and remembers what it was asked. */
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Ask } from '../../../../agent/path/port-mapping/ask.ts'
import { askRound, type Round } from '../../../../agent/path/port-mapping/round.ts'
import { systemClock } from '../../../../agent/system-clock.ts'
import { concat, fromHex } from '../../../../crypto/bytes.ts'
import { randomBytes } from '../../../../crypto/random.ts'
import { formatEndpoint, type IpAddress, parseIpAddress } from '../../../../protocol/address.ts'

export const NONCE = fromHex('0102030405060708090a0b0c')
export const IGD = 'urn:schemas-upnp-org:device:InternetGatewayDevice:1'
export const IP_1 = 'urn:schemas-upnp-org:service:WANIPConnection:1'

type Mapper = (request: Uint8Array, reply: (answer: Uint8Array) => void) => void

/** An address that no other test process uses. */
export function loopback(last: number): IpAddress {
  return parseIpAddress(`127.${(process.pid >> 8) % 256}.${process.pid % 256}.${last}`)
}

export interface Behaviour {
  /** PCP and NAT-PMP; `reply` may be called often. */
  readonly port5351?: Mapper | undefined
  /** Where the description is said to be; undefined: no answer. */
  location?(own: string): string | undefined
  http?(request: IncomingMessage, body: string, response: ServerResponse, own: string): void
}

export interface FakeGateway extends AsyncDisposable {
  readonly address: IpAddress
  /** Datagrams to 5351, and searches. */
  readonly requests: Uint8Array[]
  readonly searches: string[]
  /** `METHOD path action`. */
  readonly http: string[]
  ask(options?: Partial<Ask>): Ask
}

export async function startFakeGateway(behaviour: Behaviour, last = 1): Promise<FakeGateway> {
  const address = loopback(last)
  const [requests, searches, http]: [Uint8Array[], string[], string[]] = [[], [], []]
  const mapping = await bound(address, 5351, (request, reply) => {
    requests.push(Uint8Array.from(request))
    behaviour.port5351?.(request, reply)
  })
  const server = createServer(async (request, response) => {
    const action = String(request.headers['soapaction'] ?? '').replace(/^.*#|"/g, '')
    http.push(`${request.method} ${request.url} ${action}`.trim())
    let body = ''
    for await (const part of request) body += String(part)
    behaviour.http?.(request, body, response, own)
  })
  server.listen(0, address)
  await once(server, 'listening')
  const bind = server.address()
  const own = `http://${address}:${typeof bind === 'object' ? bind?.port : 0}`
  const ssdp = await bound(address, 1900, (request, reply) => {
    searches.push(String(request))
    const location = behaviour.location?.(own)
    if (location === undefined) return
    const answer = ['HTTP/1.1 200 OK', `ST: ${IGD}`, `LOCATION: ${location}`, '', '']
    reply(Buffer.from(answer.join('\r\n')))
  })
  return {
    address,
    requests,
    searches,
    http,
    ask: (options = {}) => ({
      gateway: { address, interfaceName: 'lo', source: loopback(10) },
      internalPort: 51820,
      nonce: NONCE,
      waitsMs: [100, 200, 300],
      clock: systemClock,
      random: randomBytes,
      signal: new AbortController().signal,
      ...options,
    }),
    async [Symbol.asyncDispose]() {
      for (const socket of [mapping, ssdp]) socket.close()
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

export async function bound(
  address: string,
  port: number,
  onRequest: (request: Buffer, reply: (answer: Uint8Array) => void) => void,
): Promise<Socket> {
  const socket = createSocket('udp4')
  socket.on('message', (request, from) => {
    onRequest(request, (answer) => socket.send(answer, from.port, from.address))
  })
  socket.bind(port, address)
  await once(socket, 'listening')
  return socket
}

export interface Grant {
  readonly result?: number
  readonly lifetime?: number
  readonly epoch?: number
  readonly nonce?: Uint8Array
  readonly port?: number
  readonly address?: readonly number[]
}

/** The answer of a PCP server to a MAP request. */
export function pcpAnswer(request: Uint8Array, grant: Grant = {}): Uint8Array {
  const { result = 0, lifetime = 600, epoch = 1000, port = 40_000 } = grant
  const answer = Uint8Array.from(request)
  const view = new DataView(answer.buffer)
  view.setUint8(1, 0x81)
  view.setUint8(3, result)
  view.setUint32(4, lifetime)
  view.setUint32(8, epoch)
  answer.fill(0, 12, 24)
  if (grant.nonce !== undefined) answer.set(grant.nonce, 24)
  view.setUint16(42, port)
  answer.set([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...(grant.address ?? [198, 20, 9, 9])], 44)
  return answer
}

/** The answer of a NAT-PMP gateway to either request. */
export function natPmpAnswer(request: Uint8Array, grant: Grant = {}): Uint8Array {
  const { result = 0, lifetime = 600, epoch = 1000, port = 40_001 } = grant
  const head = new DataView(new ArrayBuffer(8))
  head.setUint8(1, 0x80 | (request[1] ?? 0))
  head.setUint16(2, result)
  head.setUint32(4, epoch)
  const bytes = new Uint8Array(head.buffer)
  if (request[1] === 0) return concat(bytes, Uint8Array.from(grant.address ?? [198, 20, 9, 9]))
  const map = new DataView(new ArrayBuffer(8))
  map.setUint8(0, request[4] ?? 0)
  map.setUint8(1, request[5] ?? 0)
  map.setUint16(2, port)
  map.setUint32(4, lifetime)
  return concat(bytes, new Uint8Array(map.buffer))
}

export function description(controlUrl = '/ctl', type = IP_1): string {
  return `<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><device><serviceList><service><serviceType>${type}</serviceType><controlURL>${controlUrl}</controlURL></service></serviceList></device></root>`
}

export function soapAnswer(action: string, inner = ''): string {
  return `<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><u:${action}Response xmlns:u="${IP_1}">${inner}</u:${action}Response></s:Body></s:Envelope>`
}

export function soapFault(code: number, text = 'no'): string {
  return `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault><detail><UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>${code}</errorCode><errorDescription>${text}</errorDescription></UPnPError></detail></s:Fault></s:Body></s:Envelope>`
}

/** Answers to both protocols of port 5351; undefined: none. */
export function mapper(pcp: Grant | undefined, pmp: Grant | undefined): Mapper {
  return (request, reply) => {
    const grant = request[0] === 2 ? pcp : pmp
    if (grant === undefined) return
    reply(request[0] === 2 ? pcpAnswer(request, grant) : natPmpAnswer(request, grant))
  }
}

const EXTERNAL = '<NewExternalIPAddress>198.20.9.9</NewExternalIPAddress>'

/** A gateway's UPnP; `actions` say what answers an action, HTTP 200 unless it is a fault. */
export function upnp(actions: Readonly<Record<string, (body: string) => string>> = {}): Behaviour {
  return {
    location: (own) => `${own}/desc.xml`,
    http: (request, body, response) => {
      if (request.method === 'GET') return void response.end(description())
      const action = String(request.headers['soapaction']).replace(/^.*#|"/g, '')
      const text =
        actions[action]?.(body) ??
        soapAnswer(action, action === 'GetExternalIPAddress' ? EXTERNAL : '')
      response.statusCode = text.includes('UPnPError') ? 500 : 200
      response.end(text)
    },
  }
}

export async function roundOf(gateway: FakeGateway): Promise<Round> {
  const { result, settled } = askRound(gateway.ask())
  const round = await result
  await settled
  return round
}

export function summary(round: Round): string {
  return round.kind === 'mapped'
    ? `${round.mapping.protocol} ${formatEndpoint(round.mapping.external)} ${round.mapping.lifetime}`
    : round.failures.map(({ protocol, kind }) => `${protocol} ${kind}`).join(', ')
}

export function reasons(round: Round): string {
  return round.kind === 'mapped' ? '' : round.failures.map(({ reason }) => reason).join('; ')
}
