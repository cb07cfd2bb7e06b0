// time limit: 400 s
/** WireGuard in the process beside stock wireguard-go, in one namespace, over loopback: both roles, with everything
 *  that the protocol has. */
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { TunnelPeer } from '../../../../agent/tunnel/backend.ts'
import { generateAgreementKeyPair, privateBytesOf } from '../../../../crypto/agreement.ts'
import { fromHex, toBase64, toHex } from '../../../../crypto/bytes.ts'
import { parseEndpoint, parsePrefix } from '../../../../protocol/address.ts'
import { needs } from '../../../support/needs.ts'
import { joinedNamespaces, type Namespace } from '../namespaces.ts'
import { type Remote, startRemote } from './remote.ts'

needs('root', 'netns', 'wireguard-go', 'ping')

const [THEIR_PORT, OUR_PORT] = [51820, 51821]
const THEIRS = { ipv4: '100.64.0.1', ipv6: 'fd00:64::1' }
const OURS = { ipv4: '100.64.0.2', ipv6: 'fd00:64::2' }
const [ourKeys, theirKeys] = [generateAgreementKeyPair(), generateAgreementKeyPair()]
const theirKey = toHex(theirKeys.publicKey)
const PRESHARED_KEY = fromHex('5a'.repeat(32))

let host: Namespace
let other: Namespace
let ours: Remote

const rule = suite('WireGuard in the process, and wireguard-go')

rule.before(async () => {
  ;[host, other] = await joinedNamespaces()
  host.commands.start('wireguard-go', ['-f', host.tunnelName], { LOG_LEVEL: 'error' })
  const socket = `/var/run/wireguard/${host.tunnelName}.sock`
  await host.sh(`until [ -S ${socket} ] && wg show ${host.tunnelName} >/dev/null; do sleep 0.02; done
    ip address add ${THEIRS.ipv4}/24 dev ${host.tunnelName}
    ip address add ${THEIRS.ipv6}/64 dev ${host.tunnelName} nodad
    ip link set ${host.tunnelName} mtu 1420 up`)
})
rule.before.each(async () => {
  ours = startRemote(['ip', 'netns', 'exec', host.name])
})
rule.after.each(async () => {
  await ours.tunnel[Symbol.asyncDispose]()
})
rule.after(async () => {
  await host[Symbol.asyncDispose]()
  await other[Symbol.asyncDispose]()
})

/** wireguard-go forgets what was, and has one peer: us. */
async function theyKnow(endpoint: string | undefined, presharedKey?: Uint8Array): Promise<void> {
  const key = toBase64(ourKeys.publicKey)
  const secret = presharedKey === undefined ? '' : `PresharedKey = ${toBase64(presharedKey)}`
  await host.sh(`wg setconf ${host.tunnelName} /dev/stdin <<EOF
[Interface]
PrivateKey = ${toBase64(privateBytesOf(theirKeys))}
ListenPort = ${THEIR_PORT}
[Peer]
PublicKey = ${key}
${secret}
AllowedIPs = ${OURS.ipv4}/32, ${OURS.ipv6}/128
${endpoint === undefined ? '' : `Endpoint = ${endpoint}`}
EOF`)
}

async function weKnow(endpoint: string | undefined, keepalive = 0): Promise<void> {
  const peer: TunnelPeer = {
    publicKey: theirKeys.publicKey,
    allowedIps: [`${THEIRS.ipv4}/32`, `${THEIRS.ipv6}/128`].map(parsePrefix),
    persistentKeepalive: keepalive,
    ...(endpoint === undefined ? {} : { endpoint: parseEndpoint(endpoint) }),
  }
  await ours.tunnel.configure({
    privateKey: ourKeys,
    listenPort: OUR_PORT,
    addresses: [`${OURS.ipv4}/32`, `${OURS.ipv6}/128`].map(parsePrefix),
    mtu: 1420,
    peers: new Map([[theirKey, peer]]),
  })
}

async function weSeeThem() {
  const [stats] = await ours.tunnel.stats()
  return stats
}

async function theirView(what: 'endpoints' | 'latest-handshakes' | 'transfer'): Promise<string> {
  const text = await host.sh(`wg show ${host.tunnelName} ${what}`)
  return text.trim().split('\t').slice(1).join(' ')
}

const loopback = (port: number): string => `127.0.0.1:${port}`
const wePing = (address: string, bytes = 84, waitMs = 3000) =>
  ours.calls.ping(address, bytes, waitMs)

rule('we initiate: both families inside, packets of every size to the MTU', async () => {
  await theyKnow(undefined)
  await weKnow(loopback(THEIR_PORT))
  for (const address of [THEIRS.ipv4, THEIRS.ipv6]) {
    for (const bytes of [60, 61, 75, 76, 77, 84, 500, 1279, 1280, 1407, 1408, 1409, 1419, 1420]) {
      assert.is(await wePing(address, bytes), 'reply', `${bytes} bytes to ${address}`)
    }
  }
  assert.is(await wePing(THEIRS.ipv4, 1421), 'too-big')
  assert.is(await theirView('endpoints'), loopback(OUR_PORT))
  assert.ok(((await weSeeThem())?.latestHandshake ?? 0) > 0)
})

rule('they initiate', async () => {
  await theyKnow(loopback(OUR_PORT))
  await weKnow(undefined)
  assert.ok(await host.pings(OURS.ipv4))
  assert.ok(await host.pings(OURS.ipv6))
  assert.match(await host.sh(`ping -q -c 200 -i 0.002 -s 1392 ${OURS.ipv4}`), /200 received/)
  assert.equal((await weSeeThem())?.endpoint, parseEndpoint(loopback(THEIR_PORT)))
})

rule('either initiates over IPv6', async () => {
  await theyKnow(undefined)
  await weKnow(`[::1]:${THEIR_PORT}`)
  assert.is(await wePing(THEIRS.ipv4), 'reply')
  assert.is(await theirView('endpoints'), `[::1]:${OUR_PORT}`)
  await theyKnow(`[::1]:${OUR_PORT}`)
  await ours.tunnel.restartPeer(theirKeys.publicKey)
  assert.ok(await host.pings(OURS.ipv4))
})

rule('a preshared key holds in both roles, and one side without it gets nothing', async () => {
  await theyKnow(undefined, PRESHARED_KEY)
  await weKnow(loopback(THEIR_PORT))
  assert.is(await wePing(THEIRS.ipv4, 84, 1000), 'nothing')
  await ours.tunnel.restartPeer(theirKeys.publicKey)
  await ours.calls.presharedKey(theirKey, toHex(PRESHARED_KEY))
  assert.is(await wePing(THEIRS.ipv4), 'reply')
  await theyKnow(loopback(OUR_PORT), PRESHARED_KEY)
  await ours.tunnel.restartPeer(theirKeys.publicKey)
  await ours.calls.presharedKey(theirKey, toHex(PRESHARED_KEY))
  assert.ok(await host.pings(OURS.ipv4))
})

rule('counts bytes as they do', async () => {
  await theyKnow(undefined)
  await weKnow(loopback(THEIR_PORT))
  for (let count = 0; count < 5; count += 1) await wePing(THEIRS.ipv4, 500)
  const stats = await weSeeThem()
  assert.is(await theirView('transfer'), `${stats?.sentBytes} ${stats?.receivedBytes}`)
})

rule('either may move to another port, and is followed', async () => {
  await theyKnow(undefined)
  await weKnow(loopback(THEIR_PORT))
  assert.is(await wePing(THEIRS.ipv4), 'reply')
  await ours.calls.rebind(OUR_PORT + 10)
  assert.is(await wePing(THEIRS.ipv4), 'reply')
  assert.is(await theirView('endpoints'), loopback(OUR_PORT + 10))
  await host.sh(`wg set ${host.tunnelName} listen-port ${THEIR_PORT + 10}`)
  assert.ok(await host.pings(OURS.ipv4))
  assert.equal((await weSeeThem())?.endpoint, parseEndpoint(loopback(THEIR_PORT + 10)))
  assert.is(await wePing(THEIRS.ipv4), 'reply')
})

rule('they ask for a cookie under load, and we come through with it', async () => {
  await theyKnow(undefined)
  await weKnow(loopback(THEIR_PORT))
  const flooder = startRemote(['ip', 'netns', 'exec', host.name])
  await flooder.calls.rebind(0)
  let isDone = false
  const flood = (async () => {
    while (!isDone) await flooder.calls.flood(theirKey, loopback(THEIR_PORT), 20_000)
  })()
  await sleep(300)
  let answer = await wePing(THEIRS.ipv4, 84, 1500)
  for (let round = 0; round < 12 && answer !== 'reply'; round += 1) {
    answer = await wePing(THEIRS.ipv4, 84, 2000)
  }
  isDone = true
  await flood
  const cookies = await ours.calls.cookies()
  await flooder.tunnel[Symbol.asyncDispose]()
  assert.is(answer, 'reply')
  assert.ok(cookies > 0, 'no cookie came')
})

rule('we ask for a cookie under load, and they come through with it', async () => {
  await theyKnow(loopback(OUR_PORT))
  await weKnow(undefined)
  const flooder = startRemote(['ip', 'netns', 'exec', host.name])
  await flooder.calls.rebind(0)
  let isDone = false
  const flood = (async () => {
    while (!isDone) {
      await flooder.calls.flood(toHex(ourKeys.publicKey), loopback(OUR_PORT), 160)
      await sleep(100)
    }
  })()
  await sleep(300)
  const said = await host.sh(`ping -q -c 1 -W 15 ${OURS.ipv4} || true`)
  isDone = true
  await flood
  await flooder.tunnel[Symbol.asyncDispose]()
  assert.match(said, /1 received/)
})

for (const [who, keepOurs] of [
  ['we', true],
  ['they', false],
] as const) {
  rule(`${who} renew the session after two minutes of talk, and no packet is lost`, async () => {
    await theyKnow(keepOurs ? undefined : loopback(OUR_PORT))
    await weKnow(keepOurs ? loopback(THEIR_PORT) : undefined)
    const first = keepOurs ? (await wePing(THEIRS.ipv4)) === 'reply' : await host.pings(OURS.ipv4)
    assert.ok(first)
    const before = [await theirView('latest-handshakes'), (await weSeeThem())?.latestHandshake]
    const said = await host.sh(`ping -q -c 255 -i 0.5 ${OURS.ipv4}`)
    assert.match(said, /255 received/)
    const after = [await theirView('latest-handshakes'), (await weSeeThem())?.latestHandshake]
    for (const side of [0, 1]) {
      const gap = Number(after[side]) - Number(before[side])
      assert.ok(gap >= 119 && gap <= 127, `${gap} s`)
    }
  })
}

rule.run()
