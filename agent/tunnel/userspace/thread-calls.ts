/** Thread calls: what the agent and the thread of its WireGuard say to each other. Everything is plain data: keys are
 *  bytes, errors a message and a code. */
import {
  type AgreementKeyPair,
  type AgreementPublicKey,
  agreementKeyPairFromPrivate,
  privateBytesOf,
} from '../../../crypto/agreement.ts'
import type { Endpoint, IpAddress, Prefix } from '../../../protocol/address.ts'
import type { Log } from '../../../protocol/log.ts'
import type { DevicePeer, WireGuardDevice } from '../device.ts'
import type { WireGuardChange } from '../diff.ts'
import { TunnelError } from '../errors.ts'

export interface ThreadChange extends Omit<WireGuardChange, 'privateKey'> {
  readonly privateKey?: Uint8Array
}

export interface ThreadState {
  readonly listenPort: number
  readonly peers: readonly DevicePeer[]
}

export interface InsideSettings {
  readonly addresses: readonly Prefix[]
  /** Bytes. */
  readonly mtu: number
  readonly peers: readonly {
    readonly publicKey: AgreementPublicKey
    readonly mtu: number | undefined
  }[]
}

/** What the agent asks, each with an answer. */
export interface ThreadCalls
  extends Pick<WireGuardDevice, 'setEndpoint' | 'setKeepalive' | 'replacePeer'> {
  /** Makes the interface. */
  open(): Promise<void>
  read(): Promise<ThreadState>
  change(change: ThreadChange): Promise<void>
  configure(settings: InsideSettings): Promise<void>
  redirect(others: readonly Endpoint[], endpoint: Endpoint): Promise<void>
  /** Ends everything. */
  end(): Promise<void>
}

export interface Call {
  readonly kind: 'call'
  readonly id: number
  readonly name: keyof ThreadCalls
  readonly args: readonly unknown[]
}

/** What the agent says, without an answer. */
export type ToThread =
  | Call
  | { readonly kind: 'send'; readonly datagram: Uint8Array; readonly to: Endpoint }
  | { readonly kind: 'inject'; readonly datagram: Uint8Array; readonly from: Endpoint }
  | { readonly kind: 'divert' | 'undivert'; readonly address: IpAddress }
  | { readonly kind: 'divert-endpoint' | 'undivert-endpoint'; readonly remote: Endpoint }
  | { readonly kind: 'arrived'; readonly datagram: Uint8Array; readonly from: Endpoint }

export interface PlainError {
  readonly message: string
  readonly code: string | undefined
}

/** What the thread says. */
export type FromThread =
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failure'; readonly id: number; readonly error: PlainError }
  | { readonly kind: 'datagram'; readonly datagram: Uint8Array; readonly from: Endpoint }
  | { readonly kind: 'diverted'; readonly address: IpAddress; readonly datagram: Uint8Array }
  | { readonly kind: 'endpoint-diverted'; readonly remote: Endpoint; readonly datagram: Uint8Array }
  | { readonly kind: 'log'; readonly line: Parameters<Log> }
  | { readonly kind: 'ended'; readonly error: PlainError | undefined }

export function encodeChange({ privateKey, ...rest }: WireGuardChange): ThreadChange {
  return privateKey === undefined ? rest : { ...rest, privateKey: privateBytesOf(privateKey) }
}

export function decodeChange({ privateKey, ...rest }: ThreadChange): WireGuardChange {
  return privateKey === undefined ? rest : { ...rest, privateKey: keyPairOf(privateKey) }
}

function keyPairOf(bytes: Uint8Array): AgreementKeyPair {
  const pair = agreementKeyPairFromPrivate(bytes)
  bytes.fill(0)
  return pair
}

export function encodeError(error: unknown): PlainError {
  const message = error instanceof Error ? error.message : String(error)
  const code = error instanceof Error && 'code' in error ? String(error.code) : undefined
  return { message, code }
}

export function decodeError({ message, code }: PlainError): Error {
  if (code?.startsWith('ERR_TUNNEL_') === true) {
    return new TunnelError(code as TunnelError['code'], message)
  }
  return Object.assign(new Error(message), { code })
}
