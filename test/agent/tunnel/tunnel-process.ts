/** An agent reduced to its tunnel, in a process that a test may kill: `node tunnel-process.ts NAMESPACE
 *  INTERFACE BACKEND`; with backend tun or kernel it must be in that namespace. Prints "up" and stays. */
import { commandsOf } from '../../../agent/host/run.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import { startTunnel } from '../../../agent/tunnel/detect.ts'
import { startTun } from '../../../agent/tunnel/userspace/start-tun.ts'
import { generateAgreementKeyPair } from '../../../crypto/agreement.ts'
import { parsePrefix } from '../../../protocol/address.ts'

const [namespace = '', interfaceName = '', backend] = process.argv.slice(2)
const options = { interfaceName, clock: systemClock, log: () => undefined }
const tunnel =
  backend === 'tun'
    ? (await startTun({ ...options, commands: commandsOf() })).tunnel
    : await startTunnel({
        ...options,
        backend: backend === 'kernel' ? 'kernel' : 'wireguard-go',
        commands: commandsOf(
          backend === 'kernel' ? {} : { prefix: ['ip', 'netns', 'exec', namespace] },
        ),
      })
await tunnel.configure({
  privateKey: generateAgreementKeyPair(),
  listenPort: 51820,
  addresses: [parsePrefix('100.64.0.77/32')],
  mtu: 1420,
  peers: new Map(),
})
process.stdout.write('up\n')
setInterval(() => undefined, 60_000)
