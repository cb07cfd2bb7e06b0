/** A device of `bench:userspace` in a process of its own: WireGuard, TCP/IP and a proxy inside, with one rule for a
 *  service on loopback. Its first line of input is its PROXY_END; it says `ready`, and ends with its input. */
import { createInterface } from 'node:readline'
import { FlowCount } from '../../agent/proxy/flow-table.ts'
import { runProxy } from '../../agent/proxy/proxy.ts'
import { ConnectionCount } from '../../agent/proxy/proxy-parts.ts'
import { parseProxyRule } from '../../agent/proxy/proxy-rule.ts'
import { openProxyRules } from '../../agent/proxy/rule-store.ts'
import { newStackDevice } from '../../agent/stack/stack-device.ts'
import { systemClock } from '../../agent/system-clock.ts'
import { startUserspace } from '../../agent/tunnel/userspace/start.ts'
import { agreementKeyPairFromPrivate, parseAgreementPublicKey } from '../../crypto/agreement.ts'
import { fromHex } from '../../crypto/bytes.ts'
import { randomBytes } from '../../crypto/random.ts'
import { parsePrefix } from '../../protocol/address.ts'
import { PROXY_END } from './userspace-words.ts'

const parts = { clock: systemClock, random: randomBytes, log: () => undefined }
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const end = PROXY_END.parse(JSON.parse(String((await lines.next()).value)))
const { stack, device } = newStackDevice(parts)
const { tunnel } = startUserspace({ ...parts, interfaceName: 'bench', device })
const rule = parseProxyRule('ingress', `tcp:${end.port}:127.0.0.1:${end.port}`)
const proxy = runProxy({
  ...parts,
  stack,
  mesh: {
    resolve: () => [],
    lookUp: async () => [],
    nameOf: () => undefined,
    isOfMesh: () => false,
  },
  // Nothing is added while it runs, so nothing is written.
  rules: await openProxyRules('/nonexistent/proxy.json', [rule]),
  connections: new ConnectionCount(parts.log),
  flows: new FlowCount(),
})
const publicKey = parseAgreementPublicKey(fromHex(end.peerKey))
await tunnel.configure({
  privateKey: agreementKeyPairFromPrivate(fromHex(end.privateKey)),
  listenPort: end.listenPort,
  addresses: [parsePrefix(end.address)],
  mtu: 1420,
  peers: new Map([
    [
      end.peerKey,
      { publicKey, allowedIps: [parsePrefix(end.peerAddress)], persistentKeepalive: 0 },
    ],
  ]),
})
await proxy.settled()
process.stdout.write('ready\n')
await lines.next()
process.exit(0)
