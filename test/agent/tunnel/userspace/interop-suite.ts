/** WireGuard in the process beside a stock one: both roles, with everything that the protocol has. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MESSAGE_BYTES } from '../../../../agent/tunnel/userspace/messages.ts'
import { parseAgreementPublicKey } from '../../../../crypto/agreement.ts'
import { concat, fromHex, toHex } from '../../../../crypto/bytes.ts'
import { parseEndpoint } from '../../../../protocol/address.ts'
import { tempDir } from '../../../support/temp-dir.ts'
import { joinedNamespaces, type Namespace } from '../namespaces.ts'
import type { Stock } from '../stock-interface.ts'
import type { Answer } from './echo-device.ts'
import { initiationsFor } from './initiations.ts'
import { loopback, type Pair, startPair } from './interop-pair.ts'
import { startRemote } from './remote.ts'

const PRESHARED_KEY = fromHex('5a'.repeat(32))

let host: Namespace
let other: Namespace
let pair: Pair

export function interopSuite(stock: Stock): void {
  const rule = suite(`WireGuard in the process, and ${stock}`)

  rule.before(async () => {
    ;[host, other] = await joinedNamespaces()
    pair = await startPair(host, stock)
  })
  rule.after.each(() => pair.end())
  rule.after(async () => {
    await host[Symbol.asyncDispose]()
    await other[Symbol.asyncDispose]()
  })

  rule('we initiate: both families inside, packets of every size to the MTU', async () => {
    await pair.theyKnow(undefined)
    await pair.weKnow(loopback(pair.ports.theirs))
    for (const address of [pair.addresses.theirs.ipv4, pair.addresses.theirs.ipv6]) {
      for (const bytes of [60, 61, 75, 76, 77, 84, 500, 1279, 1280, 1407, 1408, 1409, 1419, 1420]) {
        assert.is(await pair.wePing(address, bytes), 'reply', `${bytes} bytes to ${address}`)
      }
    }
    assert.is(await pair.wePing(pair.addresses.theirs.ipv4, 1421), 'too-big')
    assert.is(await pair.theirView('endpoints'), loopback(pair.ports.ours))
    assert.ok(((await pair.weSeeThem())?.latestHandshake ?? 0) > 0)
  })

  rule('they initiate', async () => {
    await pair.theyKnow(loopback(pair.ports.ours))
    await pair.weKnow(undefined)
    assert.ok(await host.pings(pair.addresses.ours.ipv4))
    assert.ok(await host.pings(pair.addresses.ours.ipv6))
    assert.match(
      await host.sh(`ping -q -c 200 -i 0.002 -s 1392 ${pair.addresses.ours.ipv4}`),
      /200 received/,
    )
    assert.equal((await pair.weSeeThem())?.endpoint, parseEndpoint(loopback(pair.ports.theirs)))
  })

  rule('either initiates over IPv6', async () => {
    await pair.theyKnow(undefined)
    await pair.weKnow(`[::1]:${pair.ports.theirs}`)
    assert.is(await pair.wePing(pair.addresses.theirs.ipv4), 'reply')
    assert.is(await pair.theirView('endpoints'), `[::1]:${pair.ports.ours}`)
    await pair.theyKnow(`[::1]:${pair.ports.ours}`)
    await pair.restartPeer()
    assert.ok(await host.pings(pair.addresses.ours.ipv4))
  })

  rule('a preshared key holds in both roles, and one side without it gets nothing', async () => {
    await pair.theyKnow(undefined, PRESHARED_KEY)
    await pair.weKnow(loopback(pair.ports.theirs))
    assert.is(await pair.wePing(pair.addresses.theirs.ipv4, 84, 1000), 'nothing')
    await pair.restartPeer()
    await pair.ours().calls.presharedKey(pair.keys.theirs, toHex(PRESHARED_KEY))
    assert.is(await pair.wePing(pair.addresses.theirs.ipv4), 'reply')
    await pair.theyKnow(loopback(pair.ports.ours), PRESHARED_KEY)
    await pair.restartPeer()
    await pair.ours().calls.presharedKey(pair.keys.theirs, toHex(PRESHARED_KEY))
    assert.ok(await host.pings(pair.addresses.ours.ipv4))
  })

  rule('counts bytes as they do', async () => {
    await pair.theyKnow(undefined)
    await pair.weKnow(loopback(pair.ports.theirs))
    for (let count = 0; count < 5; count += 1) await pair.wePing(pair.addresses.theirs.ipv4, 500)
    const stats = await pair.weSeeThem()
    assert.is(await pair.theirView('transfer'), `${stats?.sentBytes} ${stats?.receivedBytes}`)
  })

  rule('either may move to another port, and is followed', async () => {
    await pair.theyKnow(undefined)
    await pair.weKnow(loopback(pair.ports.theirs))
    assert.is(await pair.wePing(pair.addresses.theirs.ipv4), 'reply')
    await pair.ours().calls.rebind(pair.ports.ours + 10)
    assert.is(await pair.wePing(pair.addresses.theirs.ipv4), 'reply')
    assert.is(await pair.theirView('endpoints'), loopback(pair.ports.ours + 10))
    await host.sh(`wg set ${pair.device} listen-port ${pair.ports.theirs + 10}`)
    assert.ok(await host.pings(pair.addresses.ours.ipv4))
    assert.equal(
      (await pair.weSeeThem())?.endpoint,
      parseEndpoint(loopback(pair.ports.theirs + 10)),
    )
    assert.is(await pair.wePing(pair.addresses.theirs.ipv4), 'reply')
  })

  rule('they ask for a cookie under load, and we come through with it', async () => {
    await pair.theyKnow(undefined)
    await pair.weKnow(loopback(pair.ports.theirs))
    await using _flood = await flooding(host, fromHex(pair.keys.theirs), pair.ports.theirs)
    let cookies = 0
    let answer: Answer | 'nothing' = 'nothing'
    // Where it is not under load at that moment, it answers without.
    for (let round = 0; round < 20 && (answer !== 'reply' || cookies === 0); round += 1) {
      if (answer === 'reply') await pair.restartPeer()
      answer = await pair.wePing(pair.addresses.theirs.ipv4, 84, 2000)
      cookies = await pair.ours().calls.cookies()
    }
    assert.is(answer, 'reply')
    assert.ok(cookies > 0, 'no cookie came')
  })

  rule('we ask for a cookie under load, and they come through with it', async () => {
    await pair.theyKnow(loopback(pair.ports.ours))
    await pair.weKnow(undefined)
    const flooder = startRemote(['ip', 'netns', 'exec', host.name])
    await flooder.calls.rebind(0)
    let isDone = false
    const flood = (async () => {
      while (!isDone) {
        // Under load from 64 a second on; what a slow machine can refuse, and still answer.
        await flooder.calls.flood(pair.keys.ours, loopback(pair.ports.ours), 96)
        await sleep(250)
      }
    })()
    await sleep(300)
    let asked = 0
    let said = ''
    // Where it comes when we are not under load, we answer without.
    for (let round = 0; round < 20 && (asked === 0 || !said.includes('1 received')); round += 1) {
      if (round > 0) await pair.theyKnow(loopback(pair.ports.ours))
      said = await host.sh(`ping -q -c 1 -W 60 ${pair.addresses.ours.ipv4} || true`)
      asked = await pair.ours().calls.cookiesSent(pair.ports.theirs)
    }
    isDone = true
    await flood
    await flooder.tunnel[Symbol.asyncDispose]()
    assert.match(said, /1 received/)
    assert.ok(asked > 0, 'they were asked for no cookie')
  })

  rule.run()
}

/** Initiations that cost the receiver a key agreement each and open to nothing, in bursts that its queue is not done
 *  with at once, with pauses in which others come through. */
async function flooding(host: Namespace, key: Uint8Array, port: number): Promise<AsyncDisposable> {
  const folder = await tempDir()
  const file = join(folder.path, 'initiations')
  await writeFile(file, concat(...initiationsFor(parseAgreementPublicKey(key), 2000)))
  const burst = `dd if=${file} bs=${MESSAGE_BYTES.initiation} status=none >/dev/udp/127.0.0.1/${port}`
  const words = ['netns', 'exec', host.name, 'bash', '-c', `while sleep 0.3; do ${burst}; done`]
  const child = spawn('ip', words, { stdio: 'ignore' })
  await sleep(1000)
  return {
    async [Symbol.asyncDispose]() {
      const exited = once(child, 'exit')
      child.kill()
      await exited
      await folder[Symbol.asyncDispose]()
    },
  }
}
