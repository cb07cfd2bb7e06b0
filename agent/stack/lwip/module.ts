/** Module: one instance of lwIP (glue.c), typed. Memory grows, so that a view of it is good for one call only. */
import { readFileSync } from 'node:fs'
import type { RandomBytes } from '../../../crypto/random.ts'
import { addressBytes, addressFromBytes, type IpAddress } from '../../../protocol/address.ts'
import { LWIP } from '../../program-files.ts'

/** A connection of lwIP's, by number; good until it is released. */
export type Handle = number

/** Why a connection ended by itself; the numbers are glue.c's. */
export const FAILURES = { 1: 'timed-out', 2: 'reset', 3: 'closed', 4: 'unreachable' } as const
export type Failure = (typeof FAILURES)[keyof typeof FAILURES]

/** Called from within calls of the module: none of them may call it. Bytes are views, to be copied. */
export interface ModuleEvents {
  now(): number
  output(packet: Uint8Array): void
  accepts(handle: Handle, port: number): boolean
  connected(handle: Handle): void
  received(handle: Handle, data: Uint8Array): void
  ended(handle: Handle): void
  /** There is room to queue more again. */
  sent(handle: Handle): void
  failed(handle: Handle, failure: Failure): void
  /** Is somebody there to take it? */
  datagram(datagram: Datagram): boolean
  /** The remote end says that nothing listens where our datagram was for. */
  refused(endpoints: Endpoints): void
  echoed(from: IpAddress, id: number, sequence: number): void
}

export interface Datagram extends Endpoints {
  readonly data: Uint8Array
}

export interface Endpoints {
  readonly local: IpAddress
  readonly localPort: number
  readonly remote: IpAddress
  readonly remotePort: number
}

const FUNCTIONS = [
  '_initialize',
  'packet',
  'data',
  'endpoints',
  'start',
  'input',
  'timers',
  'next_timer',
  'run_senders',
  'next_sender',
  'send_echo',
  'send_datagram',
  'send_refusal',
  'listen',
  'stop_listening',
  'connect',
  'describe',
  'room',
  'enqueue',
  'unacknowledged',
  'round_trip',
  'consumed',
  'finish',
  'abort',
  'release',
  'set_mtu',
  'set_limits',
  'set_memory',
  'set_cubic',
  'count_active',
  'count_waiting',
] as const
type ModuleFunctions = Readonly<
  Record<(typeof FUNCTIONS)[number], (...numbers: readonly number[]) => number>
>

/** Bytes that can be handed over at once. */
export const DATA_BYTES = 65_536

export interface LwipModule extends ModuleFunctions {
  /** Bytes of memory that the module has. */
  memoryBytes(): number
  /** Passes a packet on. */
  receive(packet: Uint8Array): void
  /** Copies bytes to where `enqueue` and `send_datagram` look for them. */
  put(bytes: Uint8Array, offset: number): void
  putEndpoints(endpoints: Endpoints): void
  takeEndpoints(): Endpoints
}

let compiled: WebAssembly.Module | undefined

export function newLwipModule(events: ModuleEvents, random: RandomBytes): LwipModule {
  compiled ??= new WebAssembly.Module(readFileSync(LWIP))
  const view = (at: number, length: number): Uint8Array => new Uint8Array(memory.buffer, at, length)
  const instance = new WebAssembly.Instance(compiled, {
    env: importsOf(events, random, view, takeEndpoints),
  })
  const functions = functionsOf(instance.exports)
  const memory = memoryOf(instance.exports)
  functions._initialize()
  const at = {
    packet: functions.packet(),
    data: functions.data(),
    endpoints: functions.endpoints(),
  }
  function takeEndpoints(): Endpoints {
    return readEndpoints(view(at.endpoints, ENDPOINTS_BYTES))
  }
  return {
    ...functions,
    memoryBytes: () => memory.buffer.byteLength,
    receive: (packet) => {
      view(at.packet, packet.length).set(packet)
      functions.input(packet.length)
    },
    put: (bytes, offset) => view(at.data + offset, bytes.length).set(bytes),
    putEndpoints: (endpoints) => writeEndpoints(view(at.endpoints, ENDPOINTS_BYTES), endpoints),
    takeEndpoints,
  }
}

function importsOf(
  events: ModuleEvents,
  random: RandomBytes,
  view: (at: number, length: number) => Uint8Array,
  takeEndpoints: () => Endpoints,
) {
  return {
    now: () => events.now(),
    random: randomNumbers(random),
    output: (at: number, length: number) => events.output(view(at, length)),
    accepts: (handle: Handle, port: number) => (events.accepts(handle, port) ? 1 : 0),
    connected: (handle: Handle) => events.connected(handle),
    received: (handle: Handle, at: number, length: number) =>
      events.received(handle, view(at, length)),
    ended: (handle: Handle) => events.ended(handle),
    sent: (handle: Handle) => events.sent(handle),
    failed: (handle: Handle, reason: 1 | 2 | 3 | 4) => events.failed(handle, FAILURES[reason]),
    datagram: (remotePort: number, localPort: number, at: number, length: number) =>
      events.datagram({ ...takeEndpoints(), remotePort, localPort, data: view(at, length) })
        ? 1
        : 0,
    refused: (localPort: number, remotePort: number) =>
      events.refused({ ...takeEndpoints(), localPort, remotePort }),
    echoed: (id: number, sequence: number) => events.echoed(takeEndpoints().remote, id, sequence),
  }
}

/** Unsigned numbers of 32 bits, drawn many at a time. */
function randomNumbers(random: RandomBytes): () => number {
  let drawn = new Uint32Array(0)
  let next = 0
  return () => {
    if (next >= drawn.length) {
      drawn = new Uint32Array(Uint8Array.from(random(1024)).buffer)
      next = 0
    }
    next += 1
    return drawn[next - 1] ?? 0
  }
}

/** Of glue.c: family, two ports and two addresses. */
const ENDPOINTS_BYTES = 44

function readEndpoints(bytes: Uint8Array): Endpoints {
  const words = new DataView(bytes.buffer, bytes.byteOffset)
  const length = words.getUint32(0, true) === 6 ? 16 : 4
  return {
    local: addressFromBytes(bytes.slice(12, 12 + length)),
    localPort: words.getUint32(4, true),
    remote: addressFromBytes(bytes.slice(28, 28 + length)),
    remotePort: words.getUint32(8, true),
  }
}

function writeEndpoints(
  bytes: Uint8Array,
  { local, localPort, remote, remotePort }: Endpoints,
): void {
  const words = new DataView(bytes.buffer, bytes.byteOffset)
  const to = addressBytes(remote)
  words.setUint32(0, to.length === 16 ? 6 : 4, true)
  words.setUint32(4, localPort, true)
  words.setUint32(8, remotePort, true)
  bytes.set(addressBytes(local), 12)
  bytes.set(to, 28)
}

function functionsOf(exports: Readonly<Record<string, unknown>>): ModuleFunctions {
  for (const name of FUNCTIONS) {
    if (typeof exports[name] !== 'function') throw new Error(`lwip.wasm has no function ${name}`)
  }
  return Object.fromEntries(FUNCTIONS.map((name) => [name, exports[name]])) as ModuleFunctions
}

function memoryOf({ memory }: Readonly<Record<string, unknown>>): WebAssembly.Memory {
  if (hasBuffer(memory)) return memory
  throw new Error('lwip.wasm has no memory')
}

function hasBuffer(value: unknown): value is WebAssembly.Memory {
  return typeof value === 'object' && value !== null && 'buffer' in value
}
