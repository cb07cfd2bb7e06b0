/** A host of the path laboratory, run in a network namespace by lab-pair.ts: a real tunnel, real port
 *  sharing and real paths; the relay and the punches go through the parent process. */
import { networkInterfaces } from 'node:os'
import { hostAddresses } from '../../../agent/host/local-addresses.ts'
import { startPortShare } from '../../../agent/host/port-share.ts'
import { commandsOf } from '../../../agent/host/run.ts'
import { type Paths, startPaths } from '../../../agent/path/paths.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import { startTunnel } from '../../../agent/tunnel/detect.ts'
import { agreementKeyPairFromPrivate, parseAgreementPublicKey } from '../../../crypto/agreement.ts'
import { toHex } from '../../../crypto/bytes.ts'
import { randomBytes } from '../../../crypto/random.ts'
import { parseEndpoint, parsePrefix } from '../../../protocol/address.ts'
import type { Candidate } from '../../../protocol/endpoint-update.ts'
import type { DeviceId } from '../../../protocol/keys.ts'
import type { Log } from '../../../protocol/log.ts'

/** From the parent. */
export type Order =
  | { readonly kind: 'start'; readonly candidates: readonly Candidate[] }
  | { readonly kind: 'relay'; readonly available: boolean }
  | { readonly kind: 'datagram'; readonly datagram: Uint8Array }
  | { readonly kind: 'punch'; readonly candidates: readonly Candidate[] }
  | { readonly kind: 'network-changed' }
  | { readonly kind: 'end' }

/** To the parent; `atMs` is wall time. */
export type Report =
  | { readonly kind: 'ready' }
  | {
      readonly kind: 'candidates'
      readonly candidates: readonly Candidate[]
      readonly natMapping: string
    }
  | { readonly kind: 'datagram'; readonly datagram: Uint8Array }
  | { readonly kind: 'punch'; readonly candidates: readonly Candidate[] }
  | { readonly kind: 'path'; readonly status: string; readonly atMs: number }
  | { readonly kind: 'endpoint'; readonly endpoint: string; readonly atMs: number }
  | { readonly kind: 'log'; readonly line: string }

export interface HostSettings {
  readonly interfaceName: string
  readonly device: DeviceId
  readonly privateKey: Uint8Array
  readonly address: string
  readonly peer: {
    readonly device: DeviceId
    readonly publicKey: Uint8Array
    readonly address: string
  }
  readonly stunServer: string
}

const LISTEN_PORT = 51820
const CHECK_PORT = 51821

async function main(settings: HostSettings): Promise<void> {
  const report = (message: Report): void => void process.send?.(message)
  const log: Log = (level, event, fields) =>
    report({ kind: 'log', line: `${level} ${event} ${JSON.stringify(fields ?? {})}` })
  const commands = commandsOf()
  const wireguardKey = agreementKeyPairFromPrivate(settings.privateKey)
  const peerKey = parseAgreementPublicKey(settings.peer.publicKey)
  await using started = new AsyncDisposableStack()
  const tunnel = started.use(
    await startTunnel({
      backend: 'wireguard-go',
      interfaceName: settings.interfaceName,
      commands,
      clock: systemClock,
      log,
    }),
  )
  await tunnel.configure({
    privateKey: wireguardKey,
    listenPort: LISTEN_PORT,
    addresses: [parsePrefix(settings.address)],
    mtu: 1420,
    peers: new Map([
      [
        toHex(peerKey),
        {
          publicKey: peerKey,
          allowedIps: [parsePrefix(settings.peer.address)],
          persistentKeepalive: 0,
        },
      ],
    ]),
  })
  started.use(
    await startPortShare({
      listenPort: LISTEN_PORT,
      checkPort: CHECK_PORT,
      commands,
      clock: systemClock,
      log,
    }),
  )
  let hasRelay = false
  let paths: Paths | undefined
  paths = started.use(
    await startPaths({
      device: settings.device,
      wireguardKey,
      listenPort: LISTEN_PORT,
      checkPort: CHECK_PORT,
      tunnel: {
        ...tunnel,
        setEndpoint: (key, endpoint) => {
          const text = endpoint.address.startsWith('127.') ? 'loopback' : endpoint.address
          report({ kind: 'endpoint', endpoint: text, atMs: Date.now() })
          return tunnel.setEndpoint(key, endpoint)
        },
      },
      sendDatagram: (_to, datagram) => {
        if (hasRelay) report({ kind: 'datagram', datagram: Uint8Array.from(datagram) })
        return hasRelay
      },
      sendPunch: (_to, candidates) => report({ kind: 'punch', candidates }),
      stunServers: () => [parseEndpoint(settings.stunServer)],
      hostAddresses: () => hostAddresses(settings.interfaceName, networkInterfaces()),
      overlayPrefixes: () => [parsePrefix('100.64.0.0/10')],
      onLocalCandidates: (candidates, natMapping) =>
        report({ kind: 'candidates', candidates, natMapping }),
      onPathChanged: (_device, status) =>
        report({ kind: 'path', status: status.kind, atMs: Date.now() }),
      clock: systemClock,
      random: randomBytes,
      log,
    }),
  )
  const { peer } = settings
  const name = 'peer'
  const ended = Promise.withResolvers<void>()
  process.on('disconnect', () => ended.resolve())
  process.on('message', (order: Order) => {
    switch (order.kind) {
      case 'start':
        paths?.setPeers([
          { device: peer.device, name, wireguardKey: peerKey, candidates: order.candidates },
        ])
        break
      case 'relay':
        hasRelay = order.available
        paths?.relaysChanged()
        break
      case 'datagram':
        paths?.receiveDatagram(peer.device, order.datagram)
        break
      case 'punch':
        paths?.punched(peer.device, order.candidates)
        break
      case 'network-changed':
        paths?.networkChanged()
        break
      case 'end':
        ended.resolve()
    }
  })
  report({ kind: 'ready' })
  await ended.promise
}

const [, , text] = process.argv
if (text !== undefined) {
  await main(
    JSON.parse(text, (key, value: unknown) =>
      Array.isArray(value) && key.endsWith('Key') ? Uint8Array.from(value) : value,
    ) as HostSettings,
  )
  process.disconnect?.()
}
