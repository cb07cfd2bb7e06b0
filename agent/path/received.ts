/** Received: what a STUN message that arrived is to this device. */
import type { Endpoint } from '../../protocol/address.ts'
import type { DeviceId } from '../../protocol/keys.ts'

/** Where a message came from or goes to: an endpoint of the network, or a relay, by its id where known. */
export type CheckPath = Endpoint | 'relay' | `relay ${string}`

export type DropReason =
  | 'malformed'
  | 'not-asked'
  | 'unknown-user'
  | 'not-authentic'
  /** Too many of all, which any stranger can cause. */
  | 'too-many'
  /** Too many authentic ones of the member. */
  | 'flood'
  | 'refused'

export type Received =
  /** A member checks the path: `answer` goes back by it. */
  | { readonly kind: 'request'; readonly device: DeviceId; readonly answer: Uint8Array }
  /** A member answered; `mapped` is as what it saw us, unless by the relay. */
  | {
      readonly kind: 'answer'
      readonly device: DeviceId
      readonly path: CheckPath
      readonly roundTripMs: number
      readonly mapped: Endpoint | undefined
      /** Bytes that its WireGuard has received of ours; undefined where it does not say. */
      readonly receivedBytes: number | undefined
      /** Of a probe: bytes of the check that passed, 0 of one that was not padded. */
      readonly probed?: number
    }
  /** A STUN server answered, or a member that was asked as one. */
  | {
      readonly kind: 'mapped'
      readonly server: Endpoint
      readonly device: DeviceId | undefined
      readonly mapped: Endpoint
      readonly roundTripMs: number
    }
  /** A request of ours to our own mapped endpoint came back. */
  | { readonly kind: 'hairpinned'; readonly mapped: Endpoint }
  | {
      readonly kind: 'dropped'
      readonly reason: DropReason
      /** Whom it names as its sender; without its key, unless the reason is `flood`. */
      readonly device?: DeviceId
    }
