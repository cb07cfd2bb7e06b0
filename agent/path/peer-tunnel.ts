/** One peer of the tunnel as its paths use it: operations one after the other. */
import { equal } from '../../crypto/bytes.ts'
import type { Endpoint } from '../../protocol/address.ts'
import type { Log } from '../../protocol/log.ts'
import type { Seconds } from '../../protocol/time.ts'
import { explain } from '../errors.ts'
import type { Carrier, RedirectedEndpoints } from '../host/redirected-endpoints.ts'
import type { Tunnel } from '../tunnel/backend.ts'
import type { PathPeer } from './paths.ts'

/** Seconds, WireGuard's persistent keepalive while a peer is awake (wg(8) advises 25). */
const KEEPALIVE_SECONDS = 25

export interface PeerTunnel {
  /** @param others where WireGuard may send for a moment, and shall not */
  use(endpoint: Endpoint, others?: readonly Endpoint[]): void
  /** Makes WireGuard initiate: persistent keepalive sends a packet when it goes from off to on.
   *  @param onDone when the tunnel has done it */
  wake(onDone: () => void): void
  /** @param restart ends WireGuard's own retries, too: the peer is removed and added */
  rest(restart: boolean): void
  /** As `wake`, also where WireGuard is inside its REKEY_TIMEOUT. Nothing where a handshake was completed since the
   *  last look: its session would be lost on this side alone.
   *  @param known the last look's; `onSession` is called where there is a newer one */
  restart(known: Seconds, onSession: () => void): void
  /** Nothing is begun any more; resolves when the last operation has ended. */
  close(): Promise<void>
}

export function openPeerTunnel(
  tunnel: Pick<Tunnel, 'setEndpoint' | 'setKeepalive' | 'restartPeer' | 'stats'>,
  { name, wireguardKey }: PathPeer,
  log: Log,
  carrier: Carrier,
  endpoints?: RedirectedEndpoints,
): PeerTunnel {
  let last: Promise<void> = Promise.resolve()
  let isClosed = false
  // A tunnel that fails is the daemon's to mend: the paths go on.
  const queue = (task: () => Promise<void>): void => {
    last = last
      .then(() => (isClosed ? undefined : task()))
      .catch((error: unknown) =>
        log('warn', 'tunnel.peer-failed', { peer: name, reason: explain(error) }),
      )
  }
  const rouse = async (): Promise<void> => {
    await tunnel.setKeepalive(wireguardKey, 0)
    await tunnel.setKeepalive(wireguardKey, KEEPALIVE_SECONDS)
  }
  return {
    use: (endpoint, others = []) => {
      if (endpoints !== undefined && others.length > 0)
        queue(() => endpoints.redirect(others, endpoint, carrier))
      queue(() => tunnel.setEndpoint(wireguardKey, endpoint))
    },
    wake: (onDone) =>
      queue(async () => {
        await rouse()
        onDone()
      }),
    rest: (restart) =>
      queue(async () => {
        await tunnel.setKeepalive(wireguardKey, 0)
        if (restart) await tunnel.restartPeer(wireguardKey)
      }),
    restart: (known, onSession) =>
      queue(async () => {
        const now = (await tunnel.stats()).find(({ publicKey }) => equal(publicKey, wireguardKey))
        if ((now?.latestHandshake ?? 0) > known) return onSession()
        await tunnel.setKeepalive(wireguardKey, 0)
        await tunnel.restartPeer(wireguardKey)
        await tunnel.setKeepalive(wireguardKey, KEEPALIVE_SECONDS)
      }),
    close: async () => {
      isClosed = true
      await last
    },
  }
}
