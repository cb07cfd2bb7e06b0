/** What the port share must do beside every tunnel backend: checks and WireGuard on one UDP port. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { explain } from '../../../agent/errors.ts'
import { startPortShare } from '../../../agent/host/port-share.ts'
import { commandsOf } from '../../../agent/host/run.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import type { BackendKind } from '../../../agent/tunnel/backend.ts'
import { at, config, peerOf, type Side, startSides } from '../tunnel/sides.ts'
import { endSockets, udpSocket } from './udp-socket.ts'

const [LISTEN, CHECK, OTHER] = [51820, 51821, 9999]
/** Headers of 20 bytes: type, length 0, magic cookie, transaction (RFC 8489 §5). */
const TRANSACTION = '0102030405060708090a0b0c'
const [REQUEST, RESPONSE] = [`000100002112a442${TRANSACTION}`, `010100002112a442${TRANSACTION}`]

const QUIET = { clock: systemClock, log: () => undefined }

let a: Side
let b: Side

function share(side: Side, listenPort = LISTEN): Promise<AsyncDisposable> {
  return startPortShare({
    ...QUIET,
    listenPort,
    checkPort: listenPort + 1,
    commands: side.host.commands,
  })
}

export function portShareContract(backend: BackendKind): void {
  const rule = suite(`port share: ${backend}`)

  rule.before(async () => {
    ;[a, b] = await startSides(backend)
  })
  rule.before.each(async () => {
    for (const side of [a, b]) await side.tunnel.configure(config(side))
  })
  rule.after.each(endSockets)
  rule.after(async () => {
    for (const { tunnel } of [a, b]) await tunnel[Symbol.asyncDispose]()
    for (const { host } of [a, b]) await host[Symbol.asyncDispose]()
  })

  for (const [family, type] of [
    ['ipv4', 'udp4'],
    ['ipv6', 'udp6'],
  ] as const) {
    rule(`sends checks from WireGuard’s port and receives them by it (${family})`, async () => {
      await using _share = await share(a)
      const check = await udpSocket(a.host, CHECK, type)
      const far = await udpSocket(b.host, OTHER, type)
      await check.send(b.host[family], OTHER, REQUEST)
      assert.equal(far.received, [`${a.host[family]} ${LISTEN} ${REQUEST}`])
      await far.send(a.host[family], LISTEN, RESPONSE)
      await far.send(a.host[family], LISTEN, REQUEST)
      assert.equal(check.received, [
        `${b.host[family]} ${OTHER} ${RESPONSE}`,
        `${b.host[family]} ${OTHER} ${REQUEST}`,
      ])
    })
  }

  rule('lets checks cross between two hosts that both share', async () => {
    await using _a = await share(a)
    await using _b = await share(b)
    const [checkA, checkB] = [await udpSocket(a.host, CHECK), await udpSocket(b.host, CHECK)]
    await checkA.send(b.host.ipv4, LISTEN, REQUEST)
    await checkB.send(a.host.ipv4, LISTEN, RESPONSE)
    assert.equal(checkB.received, [`${a.host.ipv4} ${LISTEN} ${REQUEST}`])
    assert.equal(checkA.received, [`${b.host.ipv4} ${LISTEN} ${RESPONSE}`])
  })

  rule('leaves WireGuard’s packets to WireGuard, and what only looks like STUN too', async () => {
    await using _a = await share(a)
    const check = await udpSocket(a.host, CHECK)
    await b.tunnel.configure(config(b, { ...peerOf(a), endpoint: at(a.host.ipv4) }))
    await a.tunnel.configure(config(a, peerOf(b)))
    assert.ok(await b.host.pings('100.64.0.1'))
    assert.ok(await a.host.pings('100.64.0.2'))
    const far = await udpSocket(b.host, OTHER)
    await far.send(a.host.ipv4, LISTEN, `00010000deadbeef${TRANSACTION}`)
    await far.send(a.host.ipv4, LISTEN, `010000002112a442${TRANSACTION}`)
    await far.send(a.host.ipv4, LISTEN, `04000000${'2112a442'.repeat(4)}`)
    await far.send(a.host.ipv4, LISTEN, '0001')
    assert.equal(check.received, [])
  })

  rule('opens a stateful firewall for WireGuard by a check', async () => {
    await using _a = await share(a)
    await using _b = await share(b)
    await a.host.sh(`nft 'table inet firewall { chain in { type filter hook input priority 0; policy drop;
    ct state established accept; icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    iifname "${a.host.tunnelName}" accept; }; }'`)
    await b.tunnel.configure(config(b, { ...peerOf(a), endpoint: at(a.host.ipv4) }))
    await a.tunnel.configure(config(a, peerOf(b)))
    const [checkA, checkB] = [await udpSocket(a.host, CHECK), await udpSocket(b.host, CHECK)]
    assert.not(await b.host.pings('100.64.0.1', 1))
    await b.tunnel.restartPeer(a.keys.publicKey)
    await checkA.send(b.host.ipv4, LISTEN, REQUEST)
    await checkB.send(a.host.ipv4, LISTEN, RESPONSE)
    assert.equal(checkA.received, [`${b.host.ipv4} ${LISTEN} ${RESPONSE}`])
    assert.ok(await b.host.pings('100.64.0.1', 1))
    await a.host.sh('nft delete table inet firewall')
  })

  rule('leaves datagrams inside the host alone', async () => {
    await using _share = await share(a)
    const [check, local] = [await udpSocket(a.host, CHECK), await udpSocket(a.host, OTHER)]
    await check.send('127.0.0.1', OTHER, REQUEST)
    assert.equal(local.received, [`127.0.0.1 ${CHECK} ${REQUEST}`])
  })

  rule('removes its table when it ends, and no other', async () => {
    await a.host.sh('nft add table inet nexodus-port-of-somebody; nft add table inet other')
    const [first, second] = [await share(a, 4000), await share(a, 5000)]
    assert.match(await a.host.sh('nft list tables'), /port-4000\n(.*\n)*.*port-5000/)
    await first[Symbol.asyncDispose]()
    await second[Symbol.asyncDispose]()
    assert.is(
      await a.host.sh('nft list tables'),
      'table inet nexodus-port-of-somebody\ntable inet other\n',
    )
    await a.host.sh('nft delete table inet nexodus-port-of-somebody; nft delete table inet other')
  })

  rule('takes the place of what a crash left, for this port and for others', async () => {
    const module = new URL('../../../agent/host/port-share.ts', import.meta.url)
    const commands = `(await import('${new URL('run.ts', module)}')).commandsOf()`
    const script = `const { startPortShare } = await import('${module}')
    for (const listenPort of [${LISTEN}, 6000])
      await startPortShare({ listenPort, checkPort: 7000, commands: ${commands}, clock: { every: () => ({ cancel() {} }) }, log() {} })
    console.log('installed'); setInterval(() => {}, 1e4)`
    const args = [
      'netns',
      'exec',
      a.host.name,
      process.execPath,
      '--input-type=module',
      '-e',
      script,
    ]
    const crashed = spawn('ip', args)
    await once(crashed.stdout, 'data')
    const alive = await share(a, 5000)
    assert.match(await a.host.sh('nft list tables'), /port-6000/)
    crashed.kill('SIGKILL')
    await once(crashed, 'exit')
    const again = await share(a)
    const tables = await a.host.sh('nft list tables')
    assert.not.match(tables, /port-6000/)
    assert.match(tables, /port-5000/)
    const rules = await a.host.sh(`nft list table inet nexodus-port-${LISTEN}`)
    assert.match(rules, new RegExp(`udp sport set ${LISTEN}`))
    assert.not.match(rules, /7000/)
    assert.is(rules.split('chain out').length, 2)
    await again[Symbol.asyncDispose]()
    await alive[Symbol.asyncDispose]()
    assert.is(await a.host.sh('nft list tables'), '')
  })

  rule('refuses the port of an agent that runs, and leaves its table alone', async () => {
    await using _share = await share(a)
    const before = await a.host.sh('nft list table inet nexodus-port-51820')
    const refused = await share(a).then(
      () => 'shared',
      (cause: unknown) => explain(cause),
    )
    assert.match(refused, /51820 belongs to another nexd, process \d+ .*--listen-port/)
    assert.is(await a.host.sh('nft list table inet nexodus-port-51820'), before)
  })

  rule('comes back, with what is diverted, where somebody flushed all rules', async () => {
    const looks: (() => void)[] = []
    const events: string[] = []
    const clock = {
      ...systemClock,
      every: (_ms: number, look: () => void) => {
        looks.push(look)
        return { cancel: () => undefined }
      },
    }
    const log = (_level: string, event: string): void => void events.push(event)
    const options = { listenPort: LISTEN, checkPort: CHECK, commands: a.host.commands }
    await using again = await startPortShare({ ...options, clock, log })
    await again.divert(at(b.host.ipv4, OTHER), { port: 6001 })
    const before = await a.host.sh(`nft list table inet nexodus-port-${LISTEN}`)
    await a.host.sh('nft flush ruleset')
    for (const look of looks) look()
    while (events.length === 0) await systemClock.sleep(20)
    assert.equal(events, ['port-share.restored'])
    assert.is(await a.host.sh(`nft list table inet nexodus-port-${LISTEN}`), before)
  })

  rule('says what to install where nft is missing', async () => {
    const commands = commandsOf({ path: '/nowhere' })
    const error = await startPortShare({
      ...QUIET,
      listenPort: LISTEN,
      checkPort: CHECK,
      commands,
    }).catch((cause: unknown) => cause)
    assert.is((error as { code?: string }).code, 'ERR_COMMAND_MISSING')
    assert.match((error as Error).message, /nft is not installed \(install the package nftables\)/)
  })

  rule.run()
}
