/** What `--backend auto` makes: `node host-side-process.ts INTERFACE`, in a namespace. Prints the backend, and ends. */
import { startHostSide } from '../../agent/host-side.ts'
import { generateAgreementKeyPair } from '../../crypto/agreement.ts'
import { parsePrefix } from '../../protocol/address.ts'

const [interfaceName = ''] = process.argv.slice(2)
await using ending = new AsyncDisposableStack()
const options = { interfaceName, backend: 'auto', listenPort: 51820, log: () => undefined } as const
const { tunnel, portShare } = await startHostSide(options, ending)
await tunnel.configure({
  privateKey: generateAgreementKeyPair(),
  listenPort: 51820,
  addresses: [parsePrefix('100.64.0.1/32')],
  mtu: 1420,
  peers: new Map(),
})
const shares = (await portShare) !== undefined
process.stdout.write(`${tunnel.kind}, ${shares ? 'a port share' : 'no port share'}\n`)
