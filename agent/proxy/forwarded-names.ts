/** Forwarded names: what a resolver behind a router says of a name, asked by the stack: the host's own sockets do not
 *  reach it where the tunnel has no interface. */
import { decode, type Answer as Resource } from 'dns-packet'
import type { RandomBytes } from '../../crypto/random.ts'
import {
  type Endpoint,
  type IpAddress,
  parseIpAddress,
  sameEndpoint,
} from '../../protocol/address.ts'
import type { Clock } from '../../protocol/clock.ts'
import { MalformedError } from '../../protocol/errors.ts'
import { answer } from '../names/answer.ts'
import { exchangeBy } from '../names/exchange.ts'
import { Forwarder } from '../names/forwarder.ts'
import { nameBytes, type Query } from '../names/message.ts'
import type { Zones } from '../names/zones.ts'
import { SocketError } from '../stack/socket-error.ts'
import type { Stack } from '../stack/stack.ts'
import type { UdpSocket } from '../stack/udp-sockets.ts'
import type { MeshView } from './mesh-view.ts'

export interface ForwardedNamesOptions {
  readonly stack: Stack
  zones(): Zones
  isReachable(address: IpAddress): boolean
  readonly clock: Clock
  readonly random: RandomBytes
}

const TYPES = [
  ['A', 1],
  ['AAAA', 28],
] as const
/** Of a name as text, and of a label (RFC 1035 §2.3.4). */
const LONGEST = { name: 253, label: 63 } as const

/** Addresses of a name of a domain that the organization forwards; none for every other. Never rejects. */
export function forwardedNames(options: ForwardedNamesOptions): MeshView['lookUp'] {
  const forwarder = new Forwarder({ ...options, exchange: exchangeBy(transportsOf(options.stack)) })
  let known = ''
  return async (typed) => {
    const zones = options.zones()
    const forwards = JSON.stringify(zones.forwards)
    if (forwards !== known) forwarder.forget()
    known = forwards
    const name = typed.toLowerCase().replace(/\.$/, '')
    if (!isName(name)) return []
    const found = await Promise.all(
      TYPES.map(async ([type, code]) => {
        const found = answer({ name, type, class: 'IN' }, zones)
        if (found.kind !== 'forward') return []
        const said = await forwarder.ask(queryFor(name, type, code), found.forward, 'tcp')
        return said === undefined ? [] : addressesIn(said)
      }),
    )
    return found.flat()
  }
}

function isName(name: string): boolean {
  const isLabel = (label: string): boolean =>
    label.length > 0 && Buffer.byteLength(label) <= LONGEST.label
  return Buffer.byteLength(name) <= LONGEST.name && name.split('.').every(isLabel)
}

function queryFor(name: string, type: string, code: number): Query {
  const asked = Buffer.concat([nameBytes(name), Buffer.of(0, code, 0, 1)])
  const question = { name, type, class: 'IN' }
  return { id: 0, isRecursionDesired: true, question, asked, edns: undefined }
}

/** Whatever names lead to them: the resolver has followed the aliases. */
function addressesIn(message: Buffer): readonly IpAddress[] {
  try {
    return (decode(message).answers ?? []).flatMap(addressOf)
  } catch (error) {
    // The library throws plain errors and range errors at records that are none.
    if (error instanceof Error) return []
    throw error
  }
}

function addressOf(record: Resource): readonly IpAddress[] {
  if (record.type !== 'A' && record.type !== 'AAAA') return []
  try {
    return [parseIpAddress(record.data)]
  } catch (error) {
    if (error instanceof MalformedError) return []
    throw error
  }
}

function transportsOf(stack: Stack): Parameters<typeof exchangeBy>[0] {
  return {
    openUdp: (to, onDatagram, onFailed) => {
      let socket: UdpSocket | undefined
      // No port is left, or no address of ours of its family: nothing will come.
      const attempt = (task: () => void): void => {
        try {
          task()
        } catch (error) {
          if (!(error instanceof SocketError)) throw error
          onFailed()
        }
      }
      const refused = (remote: Endpoint): void => {
        if (sameEndpoint(remote, to)) onFailed()
      }
      attempt(() => {
        socket = stack.bindUdp(
          0,
          ({ data, remote }) => {
            if (sameEndpoint(remote, to)) onDatagram(Buffer.from(data))
          },
          refused,
        )
      })
      return {
        send: (bytes) => attempt(() => socket?.send(bytes, to)),
        close: () => socket?.close(),
      }
    },
    openTcp: (to) => stack.connectTcp(to),
  }
}
