import { once } from 'node:events'
import { createServer } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ListenError } from '../../../agent/mesh/listen-error.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import { type IpAddress, parseIpAddress } from '../../../protocol/address.ts'
import { openEnvelope } from '../../../protocol/envelope.ts'
import { apply } from '../../../protocol/state.ts'
import { digestOf, syncable } from '../../../protocol/sync.ts'
import { seconds } from '../../../protocol/time.ts'
import { testOrganization } from '../../support/organization.ts'
import { linked, type MeshAgent, startAgent, until } from './mesh-agent.ts'

const now = systemClock.now()
const acme = testOrganization('acme', now)
const everybody = acme.stateWith('ant', 'bee', 'cow')
const rule = suite('mesh over TCP')

const digest = (agent: MeshAgent): string =>
  Buffer.from(digestOf(syncable(agent.state(), systemClock.now()).keys()).hashes).toString('base64')
const revoking = (name: string): Uint8Array =>
  acme.manifest({
    sequence: 2,
    revocations: new Map([[acme.device(name).serial, seconds(now + 86_400)]]),
  })

rule('brings two that were apart to the same state when they meet', async () => {
  await using stack = new AsyncDisposableStack()
  const learn = (...news: Uint8Array[]) =>
    news.reduce((state, bytes) => apply(state, openEnvelope(bytes), now).state, everybody)
  const [ant, bee, cow] = ['ant', 'bee', 'cow'].map((name) => acme.device(name))
  assert.ok(ant && bee && cow)
  const a = stack.use(
    await startAgent(acme, 'ant', {
      initial: learn(acme.endpoint(ant, { sequence: 4 }), acme.endpoint(cow, { sequence: 9 })),
    }),
  )
  const b = stack.use(
    await startAgent(acme, 'bee', {
      initial: learn(
        acme.endpoint(bee),
        acme.endpoint(cow, { sequence: 2 }),
        acme.certificate(acme.device('dog')),
        revoking('eel'),
      ),
      known: { ant: [a.address()] },
    }),
  )
  await until('same', () => digest(a) === digest(b))
  assert.is(b.state().endpoints.get(cow.id)?.body.sequence, 9)
  assert.ok([...a.state().memberships.values()].some(({ body }) => body.name === 'dog'))
})

rule('tells the others by gossip what a sync has taught it', async () => {
  await using stack = new AsyncDisposableStack()
  const a = stack.use(await startAgent(acme, 'ant', { initial: everybody }))
  const known = { ant: [a.address()] }
  const b = stack.use(await startAgent(acme, 'bee', { initial: everybody, known }))
  await until('linked', () => linked(a, b) && linked(b, a))
  await systemClock.sleep(500)
  const news = openEnvelope(acme.endpoint(acme.device('cow'), { sequence: 5 }))
  const initial = apply(everybody, news, now).state
  const c = stack.use(await startAgent(acme, 'cow', { initial, known }))
  await until('c is linked to a', () => linked(c, a))
  await until('b knows it from a', () => b.state().endpoints.has(c.device.id))
})

rule('drops a revoked device at once, everywhere, and lets it in no more', async () => {
  await using stack = new AsyncDisposableStack()
  const a = stack.use(await startAgent(acme, 'ant', { initial: everybody }))
  const b = stack.use(
    await startAgent(acme, 'bee', { initial: everybody, known: { ant: [a.address()] } }),
  )
  const known = { ant: [a.address()], bee: [b.address()] }
  const c = stack.use(await startAgent(acme, 'cow', { initial: everybody, known }))
  await until('all linked', () => linked(a, c) && linked(b, c) && linked(a, b))
  await systemClock.sleep(1200)
  await a.publish(revoking('cow'))
  await until('dropped by both', () => !linked(a, c) && !linked(b, c))
  assert.is(a.relays.send(c.device.id, Buffer.from('x')), false)
  await systemClock.sleep(1500) // it dials again and again
  assert.equal([linked(a, c), linked(b, c), linked(c, a)], [false, false, false])
  assert.ok(linked(a, b), 'the others stay connected')
  await b.publish(acme.endpoint(b.device, { sequence: 6 }))
  await until('gossip goes on', () => a.state().endpoints.has(b.device.id))
  assert.not.ok(c.state().endpoints.has(b.device.id), 'the revoked device hears nothing')
})

/** A tunnel that is down: it takes a dial, and nothing comes back. */
async function startSilence(
  port: number,
): Promise<AsyncDisposable & { readonly address: IpAddress; dials(): number }> {
  const address = parseIpAddress('127.0.0.2')
  let dials = 0
  const server = createServer(() => {
    dials += 1
  })
  server.listen(port, address)
  await once(server, 'listening')
  return {
    address,
    dials: () => dials,
    [Symbol.asyncDispose]: async () => {
      server.close()
    },
  }
}

rule('connects again to a peer that has restarted, while a dial by the tunnel hangs', async () => {
  await using stack = new AsyncDisposableStack()
  const first = await startAgent(acme, 'ant', { initial: everybody })
  const listen = first.mesh.multiaddrs()
  const silence = stack.use(await startSilence(Number(/\d+$/.exec(listen[0] ?? '')?.[0])))
  const b = stack.use(
    await startAgent(acme, 'bee', {
      initial: everybody,
      known: { ant: [first.address()] },
      overlay: { ant: [silence.address] },
    }),
  )
  await until('linked', () => linked(b, first))
  await first[Symbol.asyncDispose]()
  await until('noticed', () => b.mesh.connections().length === 0)
  await until('dialled by the tunnel', () => silence.dials() > 0)
  const again = stack.use(await startAgent(acme, 'ant', { initial: everybody, listen }))
  await until('linked again', () => linked(b, again))
  assert.is(silence.dials(), 1, 'before that dial had ended')
})

/** Listens at an address of this machine and ends each connection at once: a tunnel to a peer that is off. */
async function startRefusal(): Promise<AsyncDisposable & { address: IpAddress; dials(): number }> {
  let dials = 0
  const server = createServer((socket) => {
    dials += 1
    socket.destroy()
  })
  server.listen(DEFAULT_PORT, '127.7.7.8')
  await once(server, 'listening')
  return {
    address: parseIpAddress('127.7.7.8'),
    dials: () => dials,
    [Symbol.asyncDispose]: async () => void server.close(),
  }
}
/** Where a member is dialled that says no other. */
const DEFAULT_PORT = 51822

rule('rests its dials by the tunnel, and begins them anew at every word of the peer', async () => {
  await using stack = new AsyncDisposableStack()
  const refusal = stack.use(await startRefusal())
  const [ant, overlay] = [acme.device('ant'), { ant: [refusal.address] }]
  const pair = acme.stateWith('ant', 'bee')
  const b = stack.use(await startAgent(acme, 'bee', { initial: pair, overlay }))
  const words = [
    () => b.mesh.pathUp(ant.id),
    () => b.learn(acme.endpoint(ant, { sequence: 1, multiaddrs: [] })),
  ]
  // A rest lasts 42 s at least.
  const [tries, limitMs] = [4, 35_000]
  await until('dialled', () => refusal.dials() >= tries, limitMs)
  for (const [index, word] of words.entries()) {
    const before = refusal.dials()
    // Without a rest the next would come within 4 s.
    await systemClock.sleep(index === 0 ? 4500 : 100)
    assert.is(refusal.dials(), before, `rests before word ${index}`)
    word()
    await until(`dialled again ${index}`, () => refusal.dials() >= before + tries, limitMs)
  }
})

rule('dials at once a peer whose new address an endpoint update tells', async () => {
  await using stack = new AsyncDisposableStack()
  const a = stack.use(await startAgent(acme, 'ant', { initial: everybody }))
  const b = stack.use(await startAgent(acme, 'bee', { initial: everybody }))
  await systemClock.sleep(100)
  b.learn(acme.endpoint(a.device, { multiaddrs: a.mesh.multiaddrs() }))
  await until('linked', () => linked(b, a))
})

rule('carries punches to a peer, and says so when there is no way to it', async () => {
  await using stack = new AsyncDisposableStack()
  const a = stack.use(await startAgent(acme, 'ant', { initial: everybody }))
  const known = { ant: [a.address()] }
  const b = stack.use(await startAgent(acme, 'bee', { initial: everybody, known }))
  await until('linked', () => linked(b, a) && linked(a, b))
  const candidates = [{ kind: 'host', address: parseIpAddress('192.0.2.1'), port: 51820 }] as const
  assert.ok(await a.mesh.sendPunch(b.device.id, { sequence: 5, candidates }))
  assert.ok(await a.mesh.sendPunch(b.device.id, { sequence: 4, candidates: [] }))
  await until('came', () => b.punches.length > 0)
  await systemClock.sleep(50)
  assert.equal(b.punches, [{ from: a.device.id, punch: { sequence: 5, candidates } }])
  assert.is(await a.mesh.sendPunch(acme.device('cow').id, { sequence: 1, candidates }), false)
})

rule(
  'hears punches of a peer that restarts, its clock set back, also if its end was not noticed',
  async () => {
    await using stack = new AsyncDisposableStack()
    const b = stack.use(await startAgent(acme, 'bee', { initial: everybody }))
    const begin = () =>
      startAgent(acme, 'ant', { initial: everybody, known: { bee: [b.address()] } })
    const heard = () => b.punches.map(({ punch }) => punch.sequence)
    const says = async (a: MeshAgent, sequence: number) => {
      await until('linked', () => linked(a, b))
      await until(`heard ${sequence}`, () => {
        // Before the link is one at the other end, too, it carries none.
        void a.mesh.sendPunch(b.device.id, { sequence, candidates: [] })
        return heard().includes(sequence)
      })
    }
    const first = await begin()
    await says(first, 9000)
    await first[Symbol.asyncDispose]()
    await until('gone', () => !linked(b, first))
    const second = stack.use(await begin())
    await says(second, 800)
    const third = stack.use(await begin())
    await says(third, 70)
    await third.mesh.sendPunch(b.device.id, { sequence: 69, candidates: [] })
    await systemClock.sleep(50)
    // One that was sent again may come by two links.
    assert.equal([...new Set(heard())], [9000, 800, 70])
  },
)

rule('announces what it listens on, without the peer id and without the overlay', async () => {
  await using a = await startAgent(acme, 'ant', {
    initial: everybody,
    listen: ['/ip4/0.0.0.0/tcp/0', '/ip6/::/tcp/0'],
  })
  const own = a.mesh.multiaddrs()
  assert.ok(own.length > 0 && own.length <= 8)
  for (const each of own) assert.match(each, /^\/ip[46]\/[0-9a-f.:]+\/tcp\/\d+$/)
  assert.not.ok(own.some((each) => each.includes('127.0.0.1')) && own.length > 1)
})

rule('says in one line that a port is taken, and leaves nothing running', async () => {
  await using a = await startAgent(acme, 'ant', { initial: everybody })
  const listen = a.mesh.multiaddrs()
  const lines: string[] = []
  const fault = await startAgent(acme, 'bee', {
    initial: everybody,
    listen,
    log: (_level, event) => lines.push(event),
  }).catch((error: unknown) => error)
  if (!(fault instanceof ListenError)) throw new Error(`not refused: ${String(fault)}`)
  assert.match(fault.message, /cannot listen on \/ip4\/127.0.0.1\/tcp\/\d+: the port is taken \(/)
  assert.not.match(fault.message, /\n/)
  const before = lines.length
  await systemClock.sleep(300)
  assert.is(lines.length, before)
})

rule('runs nothing any more when it is disposed of', async () => {
  const a = await startAgent(acme, 'ant', { initial: everybody })
  const known = { ant: [a.address()] }
  const b = await startAgent(acme, 'bee', { initial: everybody, known })
  await until('linked', () => linked(b, a))
  await Promise.all([a[Symbol.asyncDispose](), b[Symbol.asyncDispose]()])
  const lines = a.lines.length + b.lines.length
  await systemClock.sleep(1500)
  assert.is(a.lines.length + b.lines.length, lines)
})

rule.run()
