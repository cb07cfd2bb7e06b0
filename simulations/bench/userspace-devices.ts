/** The devices that `bench:userspace` compares on paths: ours, gVisor's netstack, and an interface. */
import { execFileSync, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type AgreementKeyPair, privateBytesOf } from '../../crypto/agreement.ts'
import { toBase64, toHex } from '../../crypto/bytes.ts'
import type { Namespace, Running } from '../lab/namespace.ts'
import type { ProxyEnd } from './userspace-words.ts'

export const WIREGUARD_PORT = 51820
/** Of iperf3. */
export const SERVICE_PORT = 5201

export interface Place {
  readonly namespace: Namespace
  readonly keys: AgreementKeyPair
  /** In the overlay. */
  readonly address: string
  /** No other interface of this machine has the name. */
  readonly device: string
}

export interface DeviceOptions {
  readonly own: Place
  readonly peer: Place
  /** For logs, and programs that are built. */
  readonly folder: string
}

export interface Product {
  readonly name: string
  /** Resolves when it answers its peer. */
  start(options: DeviceOptions): Promise<Running>
}

const SCRIPT = fileURLToPath(new URL('proxy-end.ts', import.meta.url))
const NETSTACK = fileURLToPath(new URL('netstack', import.meta.url))

export const OURS: Product = {
  name: 'ours',
  start: async ({ own, peer, folder }) => {
    const end: ProxyEnd = {
      privateKey: toHex(privateBytesOf(own.keys)),
      listenPort: WIREGUARD_PORT,
      address: `${own.address}/32`,
      peerKey: toHex(peer.keys.publicKey),
      peerAddress: `${peer.address}/32`,
      port: SERVICE_PORT,
    }
    const words = [SCRIPT]
    const running = own.namespace.spawn(
      join(folder, 'ours.log'),
      process.execPath,
      words,
      {},
      'pipe',
    )
    running.child.stdin?.write(`${JSON.stringify(end)}\n`)
    await running.waitFor(/ready/, 60_000)
    return running
  },
}

/** wireguard-go with an interface: the kernel's TCP. */
export const INTERFACE: Product = {
  name: 'wireguard-go, interface',
  start: ({ own, peer, folder }) => startInterface(own, peer, folder),
}

/** @param endpoint of the peer, where it is to be called */
export async function startInterface(
  { namespace, keys, address, device }: Place,
  peer: Place,
  folder: string,
  endpoint?: string,
): Promise<Running> {
  const running = namespace.spawn(join(folder, `${device}.log`), 'wireguard-go', ['-f', device], {
    LOG_LEVEL: 'error',
  })
  const settings = [
    '[Interface]',
    `PrivateKey = ${toBase64(privateBytesOf(keys))}`,
    `ListenPort = ${WIREGUARD_PORT}`,
    '[Peer]',
    `PublicKey = ${toBase64(peer.keys.publicKey)}`,
    `AllowedIPs = ${peer.address}/32`,
    ...(endpoint === undefined ? [] : [`Endpoint = ${endpoint}:${WIREGUARD_PORT}`]),
  ]
  const ready = `until wg show ${device} >/dev/null 2>&1; do sleep 0.05; done`
  await namespace.exec('sh', '-ec', ready)
  // By a pipe that the shell makes: `wg` opens it by its path, which does not work for Node's.
  await namespace.feed(settings, 'sh', '-ec', `cat | wg setconf ${device} /dev/stdin`)
  await namespace.batch('ip', [
    `addr add ${address}/24 dev ${device}`,
    `link set ${device} mtu 1420 up`,
  ])
  return running
}

/** Undefined where Debian's Go packages are missing. @param folder for the program */
export function buildNetstack(folder: string): Product | undefined {
  if (spawnSync('go', ['version'], { stdio: 'ignore' }).status !== 0) return undefined
  const program = join(folder, 'netstack')
  const env = { ...process.env, GO111MODULE: 'off', GOPATH: '/usr/share/gocode', CGO_ENABLED: '0' }
  try {
    execFileSync('go', ['build', '-trimpath', '-o', program, '.'], {
      cwd: NETSTACK,
      env,
      stdio: 'pipe',
    })
  } catch (error) {
    if (error instanceof Error && /cannot find package/.test(error.message)) return undefined
    throw error
  }
  return {
    name: 'wireguard-go, netstack',
    start: async ({ own, peer, folder: logs }) => {
      const words = [own.address, `${SERVICE_PORT}`, `${SERVICE_PORT}`]
      const running = own.namespace.spawn(join(logs, 'netstack.log'), program, words, {}, 'pipe')
      const settings = [
        `private_key=${toHex(privateBytesOf(own.keys))}`,
        `listen_port=${WIREGUARD_PORT}`,
        `public_key=${toHex(peer.keys.publicKey)}`,
        `allowed_ip=${peer.address}/32`,
      ]
      running.child.stdin?.write(`${settings.join('\n')}\n\n`)
      await running.waitFor(/ready/, 60_000)
      return running
    },
  }
}
