import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { startLocalCandidates } from '../../../agent/path/candidates.ts'
import type { PortMappings } from '../../../agent/path/port-mapping/port-mapping.ts'
import { generateSigningKeyPair } from '../../../crypto/signing.ts'
import {
  formatEndpoint,
  parseEndpoint,
  parseIpAddress,
  parsePrefix,
} from '../../../protocol/address.ts'
import type { Candidate } from '../../../protocol/endpoint-update.ts'
import { deviceIdOf } from '../../../protocol/keys.ts'
import { VirtualClock } from '../../../simulations/world/virtual-clock.ts'

const SERVER = parseEndpoint('192.0.2.1:3478')

function local(addresses: string[], servers = [SERVER], portMappings?: PortMappings) {
  const clock = new VirtualClock()
  const asked: number[] = []
  const reports: (readonly Candidate[])[] = []
  const told: string[] = []
  let reads = 0
  const own = startLocalCandidates({
    listenPort: 51820,
    hostAddresses: () => {
      reads += 1
      return addresses.map(parseIpAddress)
    },
    stunServers: () => servers,
    overlayPrefixes: () => [parsePrefix('100.64.0.0/10'), parsePrefix('fd00:1::/48')],
    ask: () => asked.push(clock.monotonicMs()),
    onChange: (candidates, _mapping, nat) => {
      reports.push(candidates)
      for (const { mapping, hairpinning, lifetime } of nat)
        told.push(`${mapping} ${hairpinning} ${lifetime}`)
    },
    portMappings,
    clock,
  })
  const texts = () => own.current().map((one) => `${one.kind} ${formatEndpoint(one)}`)
  return { clock, asked, reports, told, own, texts, addresses, reads: () => reads }
}

const rule = suite('local candidates')

rule(
  'are the host’s addresses on WireGuard’s port, without loopback, link-local and the tunnel',
  () => {
    const addresses = ['127.0.0.1', '192.168.1.10', '169.254.3.4', 'fe80::1', '2001:db8::10']
    const { own, texts } = local([...addresses, '100.64.0.7', 'fd00:1::7', '::1'])
    assert.equal(texts(), ['host [2001:db8::10]:51820', 'host 192.168.1.10:51820'])
    own.close()
  },
)

rule(
  'are read of the host once for all that is asked in a moment, and at once when it changed',
  async () => {
    const { clock, own, texts, addresses, reads } = local(['192.168.1.10'])
    await clock.advance(1000)
    const before = reads()
    for (const text of ['192.168.1.10:51820', '192.168.1.10:51821', '192.168.1.11:51820']) {
      assert.is(own.mayBePeer(parseEndpoint(text)), text !== '192.168.1.10:51820')
    }
    assert.is(reads(), before + 1)
    addresses[0] = '192.168.1.11'
    own.networkChanged()
    assert.equal(texts(), ['host 192.168.1.11:51820'])
    own.close()
  },
)

rule('are reported within 50 ms of a change, and only then', async () => {
  const { clock, own, reports, texts } = local(['192.168.1.10'])
  await clock.advance(49)
  assert.is(reports.length, 1)
  own.observed(SERVER, parseEndpoint('198.51.100.1:40000'))
  await clock.advance(50)
  assert.is(reports.length, 2)
  assert.equal(texts(), ['host 192.168.1.10:51820', 'server-reflexive 198.51.100.1:40000'])
  own.observed(SERVER, parseEndpoint('198.51.100.1:40000'))
  await clock.advance(5000)
  assert.is(reports.length, 2)
  own.close()
})

rule('tell what is only known better of the NAT ten seconds later, all of it at once', async () => {
  const { clock, own, told } = local(['192.168.1.10'])
  const mapped = parseEndpoint('198.51.100.1:40000')
  own.observed(SERVER, mapped)
  own.observed(parseEndpoint('192.0.2.2:3478'), mapped)
  await clock.advance(100)
  assert.equal(told, ['endpoint-independent unknown 0'])
  own.nat.hairpinned(mapped, true)
  own.natChanged()
  await clock.advance(5000)
  own.nat.measured(SERVER, { atLeast: 60, lessThan: undefined })
  own.natChanged()
  await clock.advance(4900)
  assert.is(told.length, 1)
  await clock.advance(200)
  assert.equal(told.slice(1), ['endpoint-independent yes 60'])
  own.close()
})

rule('ask a mute server again after 100, 200, 400 … ms, then every 20 s', async () => {
  const { clock, asked, own } = local(['192.168.1.10'])
  await clock.advance(60_000)
  assert.equal(asked.slice(0, 6), [0, 100, 300, 700, 1500, 3100])
  assert.is((asked.at(-1) ?? 0) - (asked.at(-2) ?? 0), 20_000)
  own.close()
})

rule('ask an answering server every 20 s behind a NAT, and every 2 min without one', async () => {
  for (const [mapped, every] of [
    ['198.51.100.1:40000', 20_000],
    ['203.0.113.10:51820', 120_000],
  ] as const) {
    const { clock, asked, own } = local(['203.0.113.10'])
    await clock.advance(40)
    own.observed(SERVER, parseEndpoint(mapped))
    await clock.advance(every - 40)
    assert.equal(asked, [0, every])
    own.close()
  }
})

rule('ask at once when the network changed, and read the host’s addresses anew', async () => {
  const { clock, asked, own, addresses, reports } = local(['192.168.1.10'])
  own.observed(SERVER, parseEndpoint('198.51.100.1:40000'))
  await clock.advance(5000)
  addresses[0] = '192.168.1.110'
  own.networkChanged()
  await clock.advance(40)
  assert.equal(asked, [0, 5000])
  assert.is(reports.at(-1)?.[0]?.address, '192.168.1.110')
  own.close()
})

rule('know themselves and what lies inside the tunnel', () => {
  const { own } = local(['192.168.1.10'])
  assert.not(own.mayBePeer(parseEndpoint('192.168.1.10:51820')))
  assert.ok(own.mayBePeer(parseEndpoint('192.168.1.11:51820')))
  assert.not(own.isOutside(parseIpAddress('100.64.0.9')))
  assert.ok(own.isOutside(parseIpAddress('198.51.100.1')))
  own.close()
})

rule('are never more than 16', () => {
  const { own } = local(Array.from({ length: 40 }, (_, index) => `192.0.2.${index + 1}`))
  own.observed(SERVER, parseEndpoint('198.51.100.1:40000'))
  assert.is(own.current().length, 16)
  assert.ok(own.current().some(({ kind }) => kind === 'server-reflexive'))
  own.close()
})

/** Mappings that a test changes: `say` what is had. */
function mappings() {
  const listeners = new Set<() => void>()
  const had: string[] = []
  const calls: string[] = []
  const portMappings: PortMappings = {
    external: () => had.map(parseEndpoint),
    onChange: (listener) => {
      listeners.add(listener)
      return { cancel: () => listeners.delete(listener) }
    },
    networkChanged: () => calls.push('network'),
    status: () => [],
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
  const say = (...external: string[]): void => {
    had.splice(0, had.length, ...external)
    for (const listener of listeners) listener()
  }
  return { portMappings, say, calls, listeners }
}

rule('name a mapped port of the internet, report it when it comes and goes', async () => {
  const { portMappings, say } = mappings()
  const { clock, own, texts, reports } = local(['192.168.1.10'], [], portMappings)
  await clock.advance(50)
  say('8.8.4.4:51820')
  await clock.advance(50)
  assert.equal(texts(), ['host 192.168.1.10:51820', 'port-mapped 8.8.4.4:51820'])
  say()
  await clock.advance(50)
  assert.equal(
    reports.map(({ length }) => length),
    [1, 2, 1],
  )
  own.close()
})

rule('leave out mapped ports of another NAT’s inside, unless others see us there', () => {
  const inside = ['10.1.2.3', '100.64.3.4', '192.168.0.2', '0.0.0.0', '169.254.1.1', '127.0.0.1']
  const { portMappings, say } = mappings()
  const { own, texts } = local(['192.168.1.10'], [SERVER], portMappings)
  for (const address of [...inside, '198.18.2.2', '240.0.0.1', '224.0.0.1', '255.255.255.255']) {
    say(`${address}:51820`)
    assert.equal(texts(), ['host 192.168.1.10:51820'], address)
  }
  own.observed(SERVER, parseEndpoint('10.1.2.3:40000'))
  say('10.1.2.3:51820')
  assert.equal(texts().slice(1), ['port-mapped 10.1.2.3:51820', 'server-reflexive 10.1.2.3:40000'])
  own.close()
})

rule('name no endpoint twice, nor a mapped port inside the tunnel', () => {
  const { portMappings, say } = mappings()
  const { own, texts } = local(['192.168.1.10', '2001:db8::10'], [SERVER], portMappings)
  own.observed(SERVER, parseEndpoint('8.8.4.4:51820'))
  own.observed(SERVER, parseEndpoint('100.64.0.9:51820'))
  say('8.8.4.4:51820', '[2001:db8::10]:51820', '100.64.0.9:51820', '[fd00:1::9]:51820')
  assert.equal(texts(), [
    'host [2001:db8::10]:51820',
    'host 192.168.1.10:51820',
    'port-mapped 8.8.4.4:51820',
  ])
  own.close()
})

rule('keep room for a mapped port, pass on changes of the network, and end cleanly', () => {
  const { portMappings, say, calls, listeners } = mappings()
  const many = Array.from({ length: 40 }, (_, index) => `192.0.2.${index + 1}`)
  const { own } = local(many, [], portMappings)
  say('8.8.4.4:51820')
  assert.is(own.current().length, 16)
  assert.is(own.current().at(-1)?.kind, 'port-mapped')
  own.networkChanged()
  assert.equal(calls, ['network'])
  own.close()
  assert.is(listeners.size, 0)
})

rule('a member that sees another address each time has this host say little', async () => {
  const { clock, own, reports } = local(['192.168.1.10'])
  const device = deviceIdOf(generateSigningKeyPair<'device'>().publicKey)
  for (let n = 0; n < 20 * 60; n++) {
    own.observed(parseEndpoint('192.0.2.66:1'), parseEndpoint(`203.0.113.7:${n + 1}`), { device })
    await clock.advance(50)
  }
  assert.ok(reports.length <= 12 + 21, `${reports.length} reports in a minute`)
  await clock.advance(4000)
  assert.is(reports.at(-1)?.at(-1)?.port, 20 * 60, 'the last of them is told in the end')
  own.close()
})

rule('of a member are none inside the tunnel, of no single host, or of this host itself', () => {
  const { own } = local(['192.168.1.10'])
  const bad = ['224.0.0.251:5353', '127.0.0.1:53', '169.254.169.254:80', '100.64.0.9:51820']
  for (const text of [...bad, '192.168.1.10:51820', '[ff02::1]:51820', '[fd00:1::9]:51820'])
    assert.not(own.mayBePeer(parseEndpoint(text)), text)
  for (const text of ['192.168.1.11:51820', '198.51.100.1:1', '[2001:db8::7]:51820'])
    assert.ok(own.mayBePeer(parseEndpoint(text)), text)
  own.close()
  const alone = local([]).own
  assert.ok(alone.mayBePeer(parseEndpoint('127.0.0.1:51820')))
  alone.close()
})

rule.run()
