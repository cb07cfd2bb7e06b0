/** Device belief: what the tunnel takes its WireGuard device to be, so that nothing need be read before a
 *  change; after a change that failed it is read again. */
import type { AgreementPublicKey } from '../../crypto/agreement.ts'
import { toHex } from '../../crypto/bytes.ts'
import { type Endpoint, sameEndpoint } from '../../protocol/address.ts'
import type { TunnelConfig, TunnelPeer } from './backend.ts'
import type { DeviceState } from './device.ts'
import type { KnownConfig } from './diff.ts'

/** What was set on a peer apart from `configure`. */
export interface Override {
  readonly endpoint?: Endpoint
  readonly persistentKeepalive?: number
}

export class DeviceBelief {
  #configured: TunnelConfig | undefined
  #isSure = true
  readonly #overrides = new Map<string, Override>()

  /** What is configured; undefined for a new device. */
  async current(read: () => Promise<DeviceState>): Promise<KnownConfig | undefined> {
    if (this.#isSure) return this.#configured
    return configOf(await read(), this.#configured)
  }

  /** The belief is unsure from when a change fails until `configured`. */
  async during(change: () => Promise<void>): Promise<void> {
    try {
      await change()
    } catch (error) {
      this.#isSure = false
      throw error
    }
  }

  configured(wanted: TunnelConfig): void {
    for (const key of this.#overrides.keys()) {
      const [before, now] = [this.#configured?.peers.get(key), wanted.peers.get(key)]
      const isMeant =
        now !== undefined &&
        before?.persistentKeepalive === now.persistentKeepalive &&
        sameEndpoint(before.endpoint, now.endpoint)
      if (!isMeant) this.#overrides.delete(key)
    }
    this.#configured = wanted
    this.#isSure = true
  }

  override(publicKey: AgreementPublicKey, change: Override): void {
    const key = toHex(publicKey)
    this.#overrides.set(key, { ...this.#overrides.get(key), ...change })
  }

  /** The peer as it was last set, in whatever way. */
  peer(publicKey: AgreementPublicKey): TunnelPeer | undefined {
    const key = toHex(publicKey)
    const peer = this.#configured?.peers.get(key)
    return peer === undefined ? undefined : { ...peer, ...this.#overrides.get(key) }
  }
}

/** A device's state as a configuration; keepalives, which others than `configure` set too, as configured. */
function configOf(state: DeviceState, configured: TunnelConfig | undefined): KnownConfig {
  const { privateKey, listenPort } = state
  return {
    ...(privateKey === undefined ? {} : { privateKey }),
    listenPort,
    addresses: [],
    mtu: 0,
    peers: new Map(
      state.peers.map((peer) => {
        const key = toHex(peer.publicKey)
        const { persistentKeepalive } = configured?.peers.get(key) ?? peer
        return [key, { ...peer, persistentKeepalive }]
      }),
    ),
  }
}
