/** A host of the NAT laboratory, run in a network namespace by nat-lab.ts: real paths on a real socket, and
 *  no tunnel. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { networkInterfaces } from 'node:os'
import { hostAddresses } from '../../../../agent/host/local-addresses.ts'
import { newChecks } from '../../../../agent/path/checks.ts'
import type { NatView } from '../../../../agent/path/nat/watch.ts'
import { startPaths } from '../../../../agent/path/paths.ts'
import { systemClock } from '../../../../agent/system-clock.ts'
import {
  agreementKeyPairFromPrivate,
  parseAgreementPublicKey,
} from '../../../../crypto/agreement.ts'
import { randomBytes } from '../../../../crypto/random.ts'
import { parseEndpoint } from '../../../../protocol/address.ts'
import type { Candidate } from '../../../../protocol/endpoint-update.ts'
import type { DeviceId } from '../../../../protocol/keys.ts'
import type { NatReport } from '../../../../protocol/nat-report.ts'

export interface Person {
  readonly device: DeviceId
  readonly publicKey: Uint8Array
  readonly privateKey: Uint8Array
}

export interface NatHostSettings {
  readonly self: Person
  readonly port: number
}

/** From the parent. */
export type Order =
  | { readonly kind: 'servers'; readonly servers: readonly string[] }
  | {
      readonly kind: 'peers'
      readonly peers: readonly (Pick<Person, 'device' | 'publicKey'> & {
        readonly candidates: readonly Candidate[]
      })[]
    }
  | { readonly kind: 'look' }
  | { readonly kind: 'tcp'; readonly connected: boolean }
  | { readonly kind: 'lifetime'; readonly longest: number }
  /** One check of another member, from another socket of this host. */
  | {
      readonly kind: 'check'
      readonly as: Person
      readonly to: Pick<Person, 'device' | 'publicKey'>
      readonly at: string
      readonly from: string
    }
  | { readonly kind: 'network-changed' }

/** To the parent. */
export type Report =
  | { readonly kind: 'ready' }
  | {
      readonly kind: 'local'
      readonly candidates: readonly Candidate[]
      readonly nat: readonly NatReport[]
    }
  | { readonly kind: 'seen'; readonly views: readonly NatView[] }

const report = (message: Report): void => void process.send?.(message)

async function check(order: Order & { readonly kind: 'check' }): Promise<void> {
  const { as, to, at, from } = order
  const wireguardKey = agreementKeyPairFromPrivate(as.privateKey)
  const checks = newChecks({ device: as.device, wireguardKey, random: randomBytes })
  checks.setPeers(new Map([[to.device, parseAgreementPublicKey(to.publicKey)]]))
  const [source, target] = [parseEndpoint(from), parseEndpoint(at)]
  const socket = createSocket(source.address.includes(':') ? 'udp6' : 'udp4')
  socket.bind(source.port, source.address)
  await once(socket, 'listening')
  for (let tries = 0; tries < 3; tries++) {
    const request = checks.request(to.device, target, systemClock.monotonicMs())
    if (request !== undefined) socket.send(request, target.port, target.address)
    await systemClock.sleep(100)
  }
  socket.close()
}

async function main({ self, port }: NatHostSettings): Promise<void> {
  let servers: readonly string[] = []
  let isTcpConnected = false
  await using paths = await startPaths({
    device: self.device,
    wireguardKey: agreementKeyPairFromPrivate(self.privateKey),
    listenPort: port,
    checkPort: port,
    tunnel: {
      setEndpoint: async () => undefined,
      setKeepalive: async () => undefined,
      restartPeer: async () => undefined,
      stats: async () => [],
    },
    sendDatagram: () => false,
    sendPunch: () => undefined,
    stunServers: () => servers.map(parseEndpoint),
    hostAddresses: () => hostAddresses('none', networkInterfaces()),
    isRegistryConnected: () => isTcpConnected,
    onLocalCandidates: (candidates, _mapping, nat) => report({ kind: 'local', candidates, nat }),
    onPathChanged: () => undefined,
    clock: systemClock,
    random: randomBytes,
    log: () => undefined,
  })
  const netcheck = paths.netcheck()
  const ended = Promise.withResolvers<void>()
  process.on('disconnect', () => ended.resolve())
  process.on('message', (order: Order) => {
    switch (order.kind) {
      case 'servers':
        servers = order.servers
        paths.relaysChanged()
        break
      case 'peers':
        paths.setPeers(
          order.peers.map((peer) => ({
            ...{ device: peer.device, name: 'peer', candidates: peer.candidates },
            wireguardKey: parseAgreementPublicKey(peer.publicKey),
          })),
        )
        break
      case 'look':
        void netcheck
          .refresh()
          .then(() => report({ kind: 'seen', views: [netcheck.view(4), netcheck.view(6)] }))
        break
      case 'tcp':
        isTcpConnected = order.connected
        break
      case 'lifetime':
        netcheck.measureLifetime(4, order.longest)
        break
      case 'check':
        void check(order)
        break
      case 'network-changed':
        paths.networkChanged()
        break
    }
  })
  report({ kind: 'ready' })
  await ended.promise
}

const [, , text = ''] = process.argv
const bytesOf = (_key: string, value: unknown): unknown =>
  value !== null && typeof value === 'object' && '$bytes' in value
    ? Uint8Array.from(value.$bytes as number[])
    : value
await main(JSON.parse(text, bytesOf) as NatHostSettings)
