/** A stock wireguard-go and a tunnel inside a process, each the other's only peer, in one namespace over loopback. */
import type { TunnelPeer, TunnelPeerStats } from '../../../../agent/tunnel/backend.ts'
import { generateAgreementKeyPair, privateBytesOf } from '../../../../crypto/agreement.ts'
import { toBase64, toHex } from '../../../../crypto/bytes.ts'
import { parseEndpoint, parsePrefix } from '../../../../protocol/address.ts'
import type { Namespace } from '../namespaces.ts'
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
  /** wireguard-go forgets what was, and has one peer: us. */
  theyKnow(endpoint: string | undefined, presharedKey?: Uint8Array): Promise<void>
  weKnow(endpoint: string | undefined): Promise<void>
  weSeeThem(): Promise<TunnelPeerStats | undefined>
  theirView(what: 'endpoints' | 'latest-handshakes' | 'transfer'): Promise<string>
  wePing(address: string, bytes?: number, waitMs?: number): Promise<Answer | 'nothing'>
  restartPeer(): Promise<void>
}

export const loopback = (port: number): string => `127.0.0.1:${port}`

/** @param number of the pair, from 0: its ports and addresses */
export async function startPair(host: Namespace, number = 0): Promise<Pair> {
  const device = `${host.tunnelName}${number}`
  const ports = { theirs: 51820 + number * 100, ours: 51821 + number * 100 }
  const net = { ipv4: `100.${64 + number}.0.`, ipv6: `fd00:${64 + number}::` }
  const addresses = {
    theirs: { ipv4: `${net.ipv4}1`, ipv6: `${net.ipv6}1` },
    ours: { ipv4: `${net.ipv4}2`, ipv6: `${net.ipv6}2` },
  }
  const [ourKeys, theirKeys] = [generateAgreementKeyPair(), generateAgreementKeyPair()]
  const keys = { ours: toHex(ourKeys.publicKey), theirs: toHex(theirKeys.publicKey) }
  host.commands.start('wireguard-go', ['-f', device], { LOG_LEVEL: 'error' })
  await host.sh(`until [ -S /var/run/wireguard/${device}.sock ] && wg show ${device} >/dev/null; do
      sleep 0.02; done
    ip address add ${addresses.theirs.ipv4}/24 dev ${device}
    ip address add ${addresses.theirs.ipv6}/64 dev ${device} nodad
    ip link set ${device} mtu 1420 up`)
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
    theyKnow: async (endpoint, presharedKey) => {
      const secret = presharedKey && `PresharedKey = ${toBase64(presharedKey)}`
      await host.sh(`wg setconf ${device} /dev/stdin <<EOF
[Interface]
PrivateKey = ${toBase64(privateBytesOf(theirKeys))}
ListenPort = ${ports.theirs}
[Peer]
PublicKey = ${toBase64(ourKeys.publicKey)}
${secret ?? ''}
AllowedIPs = ${addresses.ours.ipv4}/32, ${addresses.ours.ipv6}/128
${endpoint === undefined ? '' : `Endpoint = ${endpoint}`}
EOF`)
    },
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
