/** An interface of stock WireGuard in a namespace, configured by hand with `wg` and `ip`. */
import { type AgreementKeyPair, privateBytesOf } from '../../../crypto/agreement.ts'
import { toBase64 } from '../../../crypto/bytes.ts'
import type { Namespace } from './namespaces.ts'

/** Whose WireGuard it is. */
export type Stock = 'wireguard-go' | 'kernel'

export interface StockPeer {
  readonly publicKey: Uint8Array
  readonly presharedKey?: Uint8Array | undefined
  readonly allowedIps: readonly string[]
  readonly endpoint?: string | undefined
}

export interface StockSettings {
  readonly keys: AgreementKeyPair
  readonly listenPort: number
  readonly peers: readonly StockPeer[]
}

/** It is up, with these addresses, and knows nobody; it goes with its namespace. */
export async function makeStockInterface(
  { commands, sh }: Namespace,
  stock: Stock,
  device: string,
  { ipv4, ipv6 }: { readonly ipv4: string; readonly ipv6: string },
): Promise<void> {
  if (stock === 'kernel') await sh(`ip link add ${device} type wireguard`)
  else {
    commands.start('wireguard-go', ['-f', device], { LOG_LEVEL: 'error' })
    await sh(`until [ -S /var/run/wireguard/${device}.sock ] && wg show ${device} >/dev/null; do
      sleep 0.02; done`)
  }
  await sh(`ip address add ${ipv4} dev ${device}
    ip address add ${ipv6} dev ${device} nodad
    ip link set ${device} mtu 1420 up`)
}

/** Forgets what was: other peers, and sessions. */
export async function setStock(
  { sh }: Namespace,
  device: string,
  { keys, listenPort, peers }: StockSettings,
): Promise<void> {
  const lines = [
    '[Interface]',
    `PrivateKey = ${toBase64(privateBytesOf(keys))}`,
    `ListenPort = ${listenPort}`,
    ...peers.flatMap(({ publicKey, presharedKey, allowedIps, endpoint }) => [
      '[Peer]',
      `PublicKey = ${toBase64(publicKey)}`,
      ...(presharedKey === undefined ? [] : [`PresharedKey = ${toBase64(presharedKey)}`]),
      `AllowedIPs = ${allowedIps.join(', ')}`,
      ...(endpoint === undefined ? [] : [`Endpoint = ${endpoint}`]),
    ]),
  ]
  await sh(`wg setconf ${device} /dev/stdin <<EOF\n${lines.join('\n')}\nEOF`)
}
