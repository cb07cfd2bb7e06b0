/** Virtual net: machines on a network of virtual time, whose links delay, lose and reorder, from one seed. */

import { Machine } from '../../../../agent/tunnel/userspace/machine.ts'
import { type AgreementKeyPair, agreementKeyPairFromPrivate } from '../../../../crypto/agreement.ts'
import { concat } from '../../../../crypto/bytes.ts'
import {
  addressBytes,
  type Endpoint,
  formatEndpoint,
  parseEndpoint,
  parseIpAddress,
  parsePrefix,
} from '../../../../protocol/address.ts'
import { seconds } from '../../../../protocol/time.ts'
import { Heap } from '../../../../simulations/world/heap.ts'
import { seededRandom } from '../../../../simulations/world/virtual-clock.ts'

const BEGINNING_MS = 1_767_268_800_000

export interface LinkOptions {
  readonly seed?: number
  /** Least and most milliseconds of a datagram's way: unequal ones reorder. */
  readonly delayMs?: readonly [number, number]
  /** 0 to 1. */
  readonly loss?: number
}

export interface Sent {
  readonly atMs: number
  readonly from: VirtualHost
  readonly to: Endpoint
  readonly datagram: Uint8Array
}

export interface VirtualHost {
  readonly name: string
  readonly machine: Machine
  readonly keys: AgreementKeyPair
  /** Where it is now: may be set. */
  endpoint: Endpoint
  readonly overlay: string
  readonly delivered: Uint8Array[]
}

export class VirtualNet {
  readonly sent: Sent[] = []
  readonly random: () => number
  nowMs = 0
  /** Drops all of it while set. */
  isCut: (sent: Sent) => boolean = () => false
  readonly #options: LinkOptions
  readonly #hosts: VirtualHost[] = []
  readonly #heap = new Heap()
  #order = 0

  constructor(options: LinkOptions = {}) {
    this.#options = options
    this.random = seededRandom(options.seed ?? 1)
  }

  randomBytes = (length: number): Uint8Array =>
    Uint8Array.from({ length }, () => Math.floor(this.random() * 256))

  host(number: number, endpoint = `192.0.2.${number}:51820`): VirtualHost {
    const delivered: Uint8Array[] = []
    const machine = new Machine({
      clock: {
        monotonicMs: () => this.nowMs,
        nowMs: () => BEGINNING_MS + Math.floor(this.nowMs),
        now: () => seconds(Math.floor((BEGINNING_MS + this.nowMs) / 1000)),
      },
      random: this.randomBytes,
      send: (parts, to) => this.#send({ from: host, to, datagram: concat(...parts) }),
      deliver: (packet) => delivered.push(Uint8Array.from(packet)),
    })
    const keys = agreementKeyPairFromPrivate(new Uint8Array(32).fill(number))
    machine.setPrivateKey(keys)
    const host: VirtualHost = {
      name: `host ${number}`,
      machine,
      keys,
      endpoint: parseEndpoint(endpoint),
      overlay: `10.0.0.${number}`,
      delivered,
    }
    this.#hosts.push(host)
    return host
  }

  /** What happens until then, in order. */
  run(ms: number): void {
    const endMs = this.nowMs + ms
    for (;;) {
      const arrivalMs = this.#heap.peek()?.atMs ?? Number.POSITIVE_INFINITY
      const deadlineMs = Math.min(...this.#hosts.map(({ machine }) => machine.nextMs()))
      const nextMs = Math.min(arrivalMs, deadlineMs)
      if (nextMs > endMs) break
      this.nowMs = Math.max(this.nowMs, nextMs)
      if (arrivalMs <= deadlineMs) this.#heap.pop()?.run()
      else for (const { machine } of this.#hosts) machine.onTime()
    }
    this.nowMs = endMs
  }

  at(atMs: number, run: () => void): void {
    this.#order += 1
    this.#heap.push({ atMs, order: this.#order, run })
  }

  #send(part: Omit<Sent, 'atMs'>): void {
    const sent = { ...part, atMs: this.nowMs }
    this.sent.push(sent)
    const { loss = 0, delayMs: [least, most] = [5, 5] } = this.#options
    if (this.isCut(sent) || this.random() < loss) return
    const source = sent.from.endpoint
    this.at(this.nowMs + least + this.random() * (most - least), () => {
      const to = this.#hosts.find(
        ({ endpoint }) => formatEndpoint(endpoint) === formatEndpoint(sent.to),
      )
      to?.machine.incoming(Uint8Array.from(sent.datagram), source)
    })
  }
}

/** Each knows the other and where it is. */
export function introduce(
  a: VirtualHost,
  b: VirtualHost,
  settings: { readonly presharedKey?: Uint8Array; readonly persistentKeepalive?: number } = {},
): void {
  for (const [one, other] of [
    [a, b],
    [b, a],
  ] as const) {
    one.machine.setPeer(other.keys.publicKey, { endpoint: other.endpoint, ...settings })
    one.machine.allow(other.keys.publicKey, [parsePrefix(other.overlay)])
  }
}

/** An IPv4 packet of UDP's protocol with these bytes in it. */
export function packetTo(
  from: string,
  to: string,
  payload: Uint8Array = new Uint8Array(8),
): Uint8Array {
  const bytes = 20 + payload.length
  return concat(
    Uint8Array.of(0x45, 0, bytes >> 8, bytes & 0xff, 0, 0, 0, 0, 64, 17, 0, 0),
    addressBytes(parseIpAddress(from)),
    addressBytes(parseIpAddress(to)),
    payload,
  )
}

export function say(from: VirtualHost, to: VirtualHost, payload?: Uint8Array): boolean {
  return from.machine.outgoing(packetTo(from.overlay, to.overlay, payload))
}

/** Types of the messages sent since, by whom. */
export function kinds(net: VirtualNet, since = 0): string[] {
  const letters = ['?', 'initiation', 'response', 'cookie', 'data']
  return net.sent.slice(since).map(({ from, datagram }) => {
    const isEmpty = datagram[0] === 4 && datagram.length === 32
    return `${from.name} ${isEmpty ? 'keepalive' : letters[datagram[0] ?? 0]}`
  })
}
