/** One end of `bench:userspace`, a process of its own: WireGuard inside, and a device that makes packets and counts
 *  them. Its first line of input is its configuration; then `blast COUNT BYTES` and `figures`, each answered by a line. */
import { createInterface } from 'node:readline'
import { systemClock } from '../../agent/system-clock.ts'
import type { PacketDevice } from '../../agent/tunnel/userspace/packet-device.ts'
import { startUserspace } from '../../agent/tunnel/userspace/start.ts'
import { agreementKeyPairFromPrivate, parseAgreementPublicKey } from '../../crypto/agreement.ts'
import { concat, fromHex } from '../../crypto/bytes.ts'
import { randomBytes } from '../../crypto/random.ts'
import { addressBytes, parseEndpoint, parseIpAddress, parsePrefix } from '../../protocol/address.ts'
import { END_CONFIG, type EndConfig } from './userspace-words.ts'

/** Packets between two turns of the event loop: what a busy stack gives at a time. */
const BUNCH = 32

let [sent, received] = [0, 0]
const device: PacketDevice = {
  onPacket: () => undefined,
  write: () => {
    received += 1
  },
  configure: () => undefined,
}
const { tunnel } = startUserspace({
  interfaceName: 'bench',
  device,
  clock: systemClock,
  random: randomBytes,
  log: () => undefined,
})

let config: EndConfig | undefined
for await (const line of createInterface({ input: process.stdin })) {
  if (config === undefined) {
    config = END_CONFIG.parse(JSON.parse(line))
    await configure(config)
    say('ready')
  } else if (line === 'figures') {
    const { user, system } = process.cpuUsage()
    say(JSON.stringify({ sent, received, cpuMs: (user + system) / 1000 }))
  } else {
    const [, count, bytes] = line.split(' ').map(Number)
    await blast(config, count ?? 0, bytes ?? 0)
    say('sent')
  }
}
await tunnel[Symbol.asyncDispose]()
process.exit(0)

async function configure({ peerKey, privateKey, ...rest }: EndConfig): Promise<void> {
  const publicKey = parseAgreementPublicKey(fromHex(peerKey))
  await tunnel.configure({
    privateKey: agreementKeyPairFromPrivate(fromHex(privateKey)),
    listenPort: rest.listenPort,
    addresses: [parsePrefix(rest.address)],
    mtu: 1420,
    peers: new Map([
      [
        peerKey,
        {
          publicKey,
          endpoint: parseEndpoint(rest.endpoint),
          allowedIps: [parsePrefix(rest.peerAddress)],
          persistentKeepalive: 0,
        },
      ],
    ]),
  })
}

/** UDP packets to the discard port, which nobody answers. */
async function blast(
  { address, peerAddress }: EndConfig,
  count: number,
  bytes: number,
): Promise<void> {
  const packet = concat(
    Uint8Array.of(0x45, 0, bytes >> 8, bytes & 0xff, 0, 0, 0, 0, 64, 17, 0, 0),
    addressBytes(parseIpAddress(address)),
    addressBytes(parseIpAddress(peerAddress)),
    new Uint8Array(bytes - 20),
  )
  for (let number = 1; number <= count; number += 1) {
    device.onPacket(packet)
    sent += 1
    if (number % BUNCH === 0) await new Promise(setImmediate)
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
