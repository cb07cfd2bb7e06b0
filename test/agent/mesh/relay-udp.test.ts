import { createSocket } from 'node:dgram'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { systemClock } from '../../../agent/system-clock.ts'
import { parseRelayRate } from '../../../protocol/relay-rate.ts'
import { testOrganization } from '../../support/organization.ts'
import { transportMessage } from '../../support/wireguard-message.ts'
import { type MeshAgent, startAgent, until } from './mesh-agent.ts'

const acme = testOrganization('acme', systemClock.now())
const everybody = acme.stateWith('ant', 'bee', 'hub', 'hive')
const rule = suite('relays over UDP and TCP')

const LISTEN = ['/ip4/127.0.0.1/tcp/0']
const startRelay = (name: string, change: object = {}): Promise<MeshAgent> =>
  startAgent(acme, name, { initial: everybody, relayServer: true, listen: LISTEN, ...change })
/** Knows those relays, and listens nowhere. */
const startLeaf = (name: string, ...relays: MeshAgent[]): Promise<MeshAgent> =>
  startAgent(acme, name, {
    initial: everybody,
    known: Object.fromEntries(relays.map((each) => [each.device.name, [each.address()]])),
    listen: [],
  })

/** Sends from `a` to `b` and back until it holds. */
async function talking(
  a: MeshAgent,
  b: MeshAgent,
  what: string,
  holds: () => boolean,
): Promise<void> {
  let next = 0
  await until(
    what,
    () => {
      if (performance.now() >= next) {
        next = performance.now() + 40
        a.relays.send(b.device.id, transportMessage('there'))
        b.relays.send(a.device.id, transportMessage('back'))
      }
      return holds()
    },
    30_000,
  )
}

const inUse = (a: MeshAgent, b: MeshAgent): string => {
  const found = a.relays.inUse(b.device.id)
  return found === undefined ? '' : `${found.name} ${found.by}`
}

rule('changes to UDP while datagrams flow, at the number of the TCP port', async () => {
  await using stack = new AsyncDisposableStack()
  const hub = stack.use(await startRelay('hub'))
  const [a, b] = [stack.use(await startLeaf('ant', hub)), stack.use(await startLeaf('bee', hub))]
  await talking(a, b, 'UDP', () => inUse(a, b) === 'hub udp' && inUse(b, a) === 'hub udp')
  const [before, sent] = [b.datagrams.length, 50]
  for (let n = 0; n < sent; n += 1) {
    a.relays.send(b.device.id, transportMessage(`datagram ${n}`))
    await systemClock.sleep(1)
  }
  await until('all of them', () => b.datagrams.length >= before + sent)
  assert.is(new Set(b.datagrams.slice(-sent).map(({ text }) => text)).size, sent)
})

rule('relays by TCP where the UDP port is taken, and says so', async () => {
  await using stack = new AsyncDisposableStack()
  const probe = createSocket('udp4').bind(0, '127.0.0.1')
  await new Promise((resolve) => probe.once('listening', resolve))
  stack.defer(() => void probe.close())
  const { port } = probe.address()
  const hub = stack.use(await startRelay('hub', { listen: [`/ip4/127.0.0.1/tcp/${port}`] }))
  const [a, b] = [stack.use(await startLeaf('ant', hub)), stack.use(await startLeaf('bee', hub))]
  await talking(a, b, 'relayed', () => a.datagrams.length > 20 && b.datagrams.length > 20)
  assert.is(inUse(a, b), 'hub tcp')
  assert.ok(hub.lines.some(({ event }) => event === 'relay.udp-not-served'))
})

rule(
  'is chosen by nobody, and passes on nothing, without the role in its certificate',
  async () => {
    await using stack = new AsyncDisposableStack()
    const roleless = acme.state(
      acme.issuerCertificate(),
      acme.manifest(),
      ...['ant', 'bee'].map((name) => acme.certificate(acme.device(name))),
      acme.certificate(acme.device('hub'), { roles: [] }),
    )
    const hub = stack.use(await startRelay('hub', { initial: roleless }))
    const known = { hub: [hub.address()] }
    const leaf = (name: string) => startAgent(acme, name, { initial: roleless, known, listen: [] })
    const [a, b] = [stack.use(await leaf('ant')), stack.use(await leaf('bee'))]
    // The circuit that the control plane takes is there, and the hub itself can be reached.
    await until('linked', () => a.relays.names(b.device.id).length > 0, 20_000)
    assert.equal(a.relays.names(b.device.id), ['bee'])
    await until('the hub', () => a.relays.send(hub.device.id, transportMessage('x')))
    assert.equal(a.relays.names(hub.device.id), ['hub'])
  },
)

rule('goes on by another relay when one ends, whichever it was', async () => {
  await using stack = new AsyncDisposableStack()
  const relays = {
    hub: stack.use(await startRelay('hub')),
    hive: stack.use(await startRelay('hive')),
  }
  const [a, b] = [
    stack.use(await startLeaf('ant', relays.hub, relays.hive)),
    stack.use(await startLeaf('bee', relays.hub, relays.hive)),
  ]
  await until('two relays', () =>
    [a.relays.names(b.device.id), b.relays.names(a.device.id)].every(
      (names) => names.includes('hub') && names.includes('hive'),
    ),
  )
  await talking(a, b, 'a relay', () => inUse(a, b).endsWith('udp') && inUse(b, a).endsWith('udp'))
  const first = inUse(a, b).split(' ')[0] === 'hub' ? 'hub' : 'hive'
  await relays[first][Symbol.asyncDispose]()
  const [atA, atB] = [a.datagrams.length, b.datagrams.length]
  await talking(
    a,
    b,
    'by the other',
    () => a.datagrams.length > atA + 5 && b.datagrams.length > atB + 5,
  )
  const second = first === 'hub' ? 'hive' : 'hub'
  assert.ok(inUse(a, b).startsWith(second), inUse(a, b))
})

rule('carries the others while one member floods, and names it', async () => {
  await using stack = new AsyncDisposableStack()
  const hub = stack.use(await startRelay('hub', { relayRate: parseRelayRate('1:0.5') }))
  const leaves = ['ant', 'bee', 'hive'].map((name) => startLeaf(name, hub))
  const [a, b, flood] = (await Promise.all(leaves)).map((each) => stack.use(each)) as [
    MeshAgent,
    MeshAgent,
    MeshAgent,
  ]
  await talking(a, b, 'UDP', () => inUse(a, b) === 'hub udp')
  await talking(flood, b, 'UDP too', () => inUse(flood, b) === 'hub udp')
  const large = transportMessage(new Uint8Array(1400))
  const flooding = systemClock.every(10, () => {
    for (let n = 0; n < 60; n += 1) flood.relays.send(b.device.id, large)
  })
  await until('named', () => hub.lines.some(({ event }) => event === 'relay.datagrams-dropped'))
  const fromA = (): number => b.datagrams.filter(({ text }) => text.startsWith('calm')).length
  const sent = 100
  for (let n = 0; n < sent; n += 1) {
    a.relays.send(b.device.id, transportMessage(`calm ${n}`))
    await systemClock.sleep(10)
  }
  await until('those who are calm are carried', () => fromA() >= sent * 0.9)
  flooding.cancel()
  const named = hub.lines.filter(({ event }) => event === 'relay.datagrams-dropped')
  assert.equal([...new Set(named.map(({ fields }) => fields['name']))], ['hive'])
})

rule.run()
