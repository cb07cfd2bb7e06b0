/** `curl` at a stock WireGuard peer, configured by hand and by nobody's agent, at a service of a device that has no
 *  interface and no privilege: WireGuard, TCP/IP and proxy are inside its process. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { generateAgreementKeyPair } from '../../../crypto/agreement.ts'
import { toHex } from '../../../crypto/bytes.ts'
import { parseEndpoint, parsePrefix } from '../../../protocol/address.ts'
import { pattern } from '../../../simulations/world/stack-pair.ts'
import { UNPRIVILEGED } from '../../support/unprivileged.ts'
import { joinedNamespaces, type Namespace } from '../tunnel/namespaces.ts'
import { makeStockInterface, type Stock, setStock } from '../tunnel/stock-interface.ts'
import { encodeConfig } from '../tunnel/userspace/remote.ts'

const PORT = 51820
const PEER = { ipv4: '100.64.0.1', ipv6: 'fd00:64::1' }
const DEVICE = { ipv4: '100.64.0.2', ipv6: 'fd00:64::2' }
const HOSTS = [DEVICE.ipv4, `[${DEVICE.ipv6}]`]

const keys = { peer: generateAgreementKeyPair(), device: generateAgreementKeyPair() }
const settings = (host: Namespace) =>
  encodeConfig({
    privateKey: keys.device,
    listenPort: PORT,
    addresses: [`${DEVICE.ipv4}/32`, `${DEVICE.ipv6}/128`].map(parsePrefix),
    mtu: 1420,
    peers: new Map([
      [
        toHex(keys.peer.publicKey),
        {
          publicKey: keys.peer.publicKey,
          endpoint: parseEndpoint(`${host.ipv4}:${PORT}`),
          allowedIps: [`${PEER.ipv4}/32`, `${PEER.ipv6}/128`].map(parsePrefix),
          persistentKeepalive: 0,
        },
      ],
    ]),
  })

/** @param large bytes of what is fetched and sent */
export function curlSuite(stock: Stock, large: number): void {
  const rule = suite(`curl at a peer with ${stock}, a service inside a process`)
  let host: Namespace
  let other: Namespace
  let device: ChildProcess | undefined
  let services: ChildProcess | undefined
  const curl = (...words: readonly string[]): Promise<string> =>
    host.sh(`curl --silent --show-error --noproxy '*' ${words.join(' ')}`)

  rule.before(async () => {
    ;[host, other] = await joinedNamespaces()
    await makeStockInterface(host, stock, host.tunnelName, {
      ipv4: `${PEER.ipv4}/24`,
      ipv6: `${PEER.ipv6}/64`,
    })
    await setStock(host, host.tunnelName, {
      keys: keys.peer,
      listenPort: PORT,
      peers: [
        {
          publicKey: keys.device.publicKey,
          allowedIps: [`${DEVICE.ipv4}/32`, `${DEVICE.ipv6}/128`],
          endpoint: `${other.ipv4}:${PORT}`,
        },
      ],
    })
    device = await startDevice(host, other)
    if (stock === 'wireguard-go')
      services = await startIn(host, [], 'peer-service', [PEER.ipv4, PEER.ipv6])
  })
  rule.after(async () => {
    // Not there where its start failed.
    for (const child of [device, services]) {
      if (child === undefined) continue
      const exited = once(child, 'exit')
      child.stdin?.end()
      await exited
    }
    for (const namespace of [host, other]) await namespace[Symbol.asyncDispose]()
  })

  rule('the device has no capability, and its host no interface for it', async () => {
    const status = await readFile(`/proc/${device?.pid}/status`, 'utf8')
    assert.match(status, /^CapEff:\s*0+$/m)
    assert.match(status, /^Uid:\s*65534\s/m)
    assert.equal((await other.sh('ls /sys/class/net')).trim().split('\n'), ['lo', other.link])
  })

  rule('a page by either family, and the overlay address answers pings', async () => {
    for (const at of HOSTS) assert.is(await curl(`http://${at}/hello`), 'hello from inside\n')
    assert.ok(await host.pings(DEVICE.ipv4))
    assert.ok(await host.pings(DEVICE.ipv6))
  })

  rule('much by either family, every byte', async () => {
    const digest = createHash('sha256').update(pattern(large)).digest('hex')
    for (const at of HOSTS) {
      const said = await curl(`http://${at}/bytes/${large} | sha256sum`)
      assert.is(said, `${digest}  -\n`)
    }
  })

  rule('as much the other way', async () => {
    for (const at of HOSTS) {
      const sent = `head -c ${large} /dev/zero |`
      const words = ['--silent', '--noproxy', "'*'", '--data-binary', '@-', `http://${at}/count`]
      assert.is(await host.sh(`${sent} curl ${words.join(' ')}`), `${large}\n`)
    }
  })

  rule('many at once', async () => {
    const urls = Array.from({ length: 40 }, (_, index) => `http://${HOSTS[index % 2]}/bytes/1000`)
    const said = await curl('--parallel', '--parallel-max', '40', ...urls, '| wc -c')
    assert.is(Number(said), 40_000)
  })

  // Of the peer's WireGuard nothing more is asked by these: they are not run again in the slow guest.
  if (stock === 'wireguard-go') {
    rule('takes turns between services that live, and passes over one that does not', async () => {
      const said = await Promise.all(
        Array.from({ length: 6 }, () => curl(`http://${HOSTS[0]}:90/`)),
      )
      const times = (name: string): number => said.filter((each) => each === `${name}\n`).length
      // The turns of the dead one go to the next.
      assert.is(times('one') + times('two'), 6)
      assert.ok(times('one') >= 2 && times('two') >= 2, said.join(''))
    })

    rule('UDP from the peer to a service on the device’s loopback, by either family', async () => {
      const script = fileURLToPath(new URL('udp-ask.ts', import.meta.url))
      for (const at of [DEVICE.ipv4, DEVICE.ipv6]) {
        assert.is(await host.sh(`${process.execPath} ${script} ${at} 53 question`), 'question\n')
      }
    })

    rule('from the device’s loopback to services of the peer, by TCP and UDP', async () => {
      const script = fileURLToPath(new URL('udp-ask.ts', import.meta.url))
      for (const port of [8081, 8082]) {
        const get = `curl --silent --show-error --http0.9 --noproxy '*' telnet://127.0.0.1:${port} </dev/null`
        assert.is(await other.sh(get), 'from the peer\n')
      }
      assert.is(await other.sh(`${process.execPath} ${script} 127.0.0.1 8083 there`), 'there\n')
    })
  }

  rule('is refused where no rule is, at once', async () => {
    for (const at of HOSTS) {
      const said = await host.sh(
        `curl --silent --max-time 30 --noproxy '*' http://${at}:81/ || echo $?`,
      )
      assert.is(said, '7\n')
    }
  })

  rule.run()
}

/** As nobody, without capabilities; resolves when its service is reached by whoever is let in. */
function startDevice(peer: Namespace, host: Namespace): Promise<ChildProcess> {
  return startIn(host, UNPRIVILEGED, 'service-process', [], JSON.stringify(settings(peer)))
}

/** Resolves when it says that it is ready. @param by a command that runs another */
async function startIn(
  host: Namespace,
  by: readonly string[],
  name: string,
  args: readonly string[],
  input?: string,
): Promise<ChildProcess> {
  const script = fileURLToPath(new URL(`${name}.ts`, import.meta.url))
  const words = ['netns', 'exec', host.name, ...by, process.execPath, script, ...args]
  const child = spawn('ip', words, { stdio: ['pipe', 'pipe', 'inherit'] })
  if (input !== undefined) child.stdin.write(`${input}\n`)
  const [said] = await Promise.race([
    once(child.stdout, 'data'),
    once(child, 'exit').then(() => ['it ended']),
  ])
  assert.is(String(said), 'ready\n')
  return child
}
