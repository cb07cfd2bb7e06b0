/** A stock WireGuard and a tunnel inside a process, each the other's only peer, in one namespace over loopback. */
import type { TunnelPeer, TunnelPeerStats } from '../../../../agent/tunnel/backend.ts'
import { generateAgreementKeyPair } from '../../../../crypto/agreement.ts'
import { toHex } from '../../../../crypto/bytes.ts'
import { parseEndpoint, parsePrefix } from '../../../../protocol/address.ts'
import type { Namespace } from '../namespaces.ts'
import { makeStockInterface, type Stock, setStock } from '../stock-interface.ts'
import type { Answer } from './echo-device.ts'
import { type Remote, startRemote } from './remote.ts'

export interface Pair {
  readonly device: string
  readonly keys: { readonly ours: string; readonly theirs: string }
  readonly ports: { readonly ours: number; readonly theirs: number }
  readonly addresses: Readonly<
    Record<'ours' | 'theirs', { readonly ipv4: string; readonly ipv6: string }>
  >
  /** The process, started when it is first asked for. */
  ours(): Remote
  /** Ends the process. */
  end(): Promise<void>
  /** They forget what was, and have one peer: us. */
  theyKnow(endpoint: string | undefined, presharedKey?: Uint8Array): Promise<void>
  weKnow(endpoint: string | undefined): Promise<void>
  weSeeThem(): Promise<TunnelPeerStats | undefined>
  theirView(what: 'endpoints' | 'latest-handshakes' | 'transfer'): Promise<string>
  wePing(address: string, bytes?: number, waitMs?: number): Promise<Answer | 'nothing'>
  restartPeer(): Promise<void>
}

export const loopback = (port: number): string => `127.0.0.1:${port}`

/** @param number of the pair, from 0: its ports and addresses */
export async function startPair(host: Namespace, stock: Stock, number = 0): Promise<Pair> {
  const device = `${host.tunnelName}${number}`
  const ports = { theirs: 51820 + number * 100, ours: 51821 + number * 100 }
  const net = { ipv4: `100.${64 + number}.0.`, ipv6: `fd00:${64 + number}::` }
  const addresses = {
    theirs: { ipv4: `${net.ipv4}1`, ipv6: `${net.ipv6}1` },
    ours: { ipv4: `${net.ipv4}2`, ipv6: `${net.ipv6}2` },
  }
  const [ourKeys, theirKeys] = [generateAgreementKeyPair(), generateAgreementKeyPair()]
  const keys = { ours: toHex(ourKeys.publicKey), theirs: toHex(theirKeys.publicKey) }
  await makeStockInterface(host, stock, device, {
    ipv4: `${addresses.theirs.ipv4}/24`,
    ipv6: `${addresses.theirs.ipv6}/64`,
  })
  let remote: Remote | undefined
  const ours = (): Remote => {
    remote ??= startRemote(['ip', 'netns', 'exec', host.name])
    return remote
  }
  return {
    device,
    keys,
    ports,
    addresses,
    ours,
    end: async () => {
      await remote?.tunnel[Symbol.asyncDispose]()
      remote = undefined
    },
    theyKnow: (endpoint, presharedKey) =>
      setStock(host, device, {
        keys: theirKeys,
        listenPort: ports.theirs,
        peers: [
          {
            publicKey: ourKeys.publicKey,
            presharedKey,
            allowedIps: prefixesOf(addresses.ours),
            endpoint,
          },
        ],
      }),
    weKnow: async (endpoint) => {
      const peer: TunnelPeer = {
        publicKey: theirKeys.publicKey,
        allowedIps: prefixesOf(addresses.theirs),
        persistentKeepalive: 0,
        ...(endpoint === undefined ? {} : { endpoint: parseEndpoint(endpoint) }),
      }
      await ours().tunnel.configure({
        privateKey: ourKeys,
        listenPort: ports.ours,
        addresses: prefixesOf(addresses.ours),
        mtu: 1420,
        peers: new Map([[keys.theirs, peer]]),
      })
    },
    weSeeThem: async () => (await ours().tunnel.stats())[0],
    theirView: async (what) => {
      const text = await host.sh(`wg show ${device} ${what}`)
      return text.trim().split('\t').slice(1).join(' ')
    },
    wePing: (address, bytes = 84, waitMs = 3000) => ours().calls.ping(address, bytes, waitMs),
    restartPeer: () => ours().tunnel.restartPeer(theirKeys.publicKey),
  }
}

function prefixesOf({ ipv4, ipv6 }: { readonly ipv4: string; readonly ipv6: string }) {
  return [`${ipv4}/32`, `${ipv6}/128`].map(parsePrefix)
}
