import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { frameChannel } from '../../../agent/mesh/frames.ts'
import { serve } from '../../../agent/mesh/streams.ts'
import type { WhyReply } from '../../../agent/mesh/why-stream.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import type { DeviceId } from '../../../protocol/keys.ts'
import { seconds } from '../../../protocol/time.ts'
import { encodeQuestion, parseAnswer, WHY_PROTOCOL } from '../../../protocol/why.ts'
import { healthyEvidence } from '../../support/evidence.ts'
import { testOrganization } from '../../support/organization.ts'
import { linked, type MeshAgent, saysWarning, startAgent, until } from './mesh-agent.ts'
import { startRogue } from './rogue.ts'

const acme = testOrganization('acme', systemClock.now())
const everybody = acme.stateWith('ant', 'bee', 'cow')
const rule = suite('why over the mesh (SPEC §11)')

interface Asked {
  readonly by: DeviceId[]
}

/** An agent that answers with its name as the system, by a clock that is so far ahead. */
async function startAnswering(
  name: string,
  options: Partial<Parameters<typeof startAgent>[2]> = {},
  aheadMs = 0,
): Promise<MeshAgent & Asked> {
  const by: DeviceId[] = []
  const agent = await startAgent(acme, name, {
    initial: everybody,
    evidence: async (to) => {
      by.push(to)
      return healthyEvidence({ system: name, nowMs: systemClock.nowMs() + aheadMs })
    },
    ...options,
  })
  return Object.assign(agent, { by })
}

const systemIn = (reply: WhyReply): string =>
  reply.kind === 'answered' ? reply.evidence.system : reply.kind

rule(
  'asks a member for its side of the path to the asker, and tells how far its clock is off',
  async () => {
    await using stack = new AsyncDisposableStack()
    const a = stack.use(await startAnswering('ant', {}, 180_000))
    const known = { ant: [a.address()] }
    const b = stack.use(await startAnswering('bee', { known }))
    await until('linked', () => linked(b, a) && linked(a, b))
    const reply = await b.mesh.why(a.device.id)
    assert.is(systemIn(reply), 'ant')
    assert.equal(a.by, [b.device.id], 'it is asked about nobody but the asker')
    if (reply.kind !== 'answered') throw new Error('no answer')
    assert.ok(
      Math.abs(reply.clockAheadMs - 180_000) <= reply.clockErrorMs + 5,
      JSON.stringify(reply),
    )
    assert.is(systemIn(await a.mesh.why(b.device.id)), 'bee')
  },
)

rule('asks by a circuit where there is no other connection', async () => {
  await using stack = new AsyncDisposableStack()
  const relay = stack.use(await startAnswering('ant', { relayServer: true }))
  const known = { ant: [relay.address()] }
  const [b, c] = [
    stack.use(await startAnswering('bee', { known, listen: [] })),
    stack.use(await startAnswering('cow', { known, listen: [] })),
  ]
  await until('linked by a circuit', () => linked(b, c) && linked(c, b), 20_000)
  assert.ok(
    b.mesh.connections().every(({ device, kind }) => device !== c.device.id || kind === 'circuit'),
  )
  assert.is(systemIn(await b.mesh.why(c.device.id)), 'cow')
  assert.equal(c.by, [b.device.id])
})

rule('answers each member so often, and says when to come again', async () => {
  await using stack = new AsyncDisposableStack()
  const a = stack.use(await startAnswering('ant'))
  const known = { ant: [a.address()] }
  const [b, c] = [
    stack.use(await startAnswering('bee', { known })),
    stack.use(await startAnswering('cow', { known })),
  ]
  await until('linked', () => linked(b, a) && linked(c, a))
  const kinds: string[] = []
  for (let n = 0; n < 12; n++) kinds.push((await b.mesh.why(a.device.id)).kind)
  assert.is(kinds[0], 'answered')
  const last = await b.mesh.why(a.device.id)
  assert.equal(last, { kind: 'later', afterMs: 2000 })
  assert.ok(a.by.length < 12, `${a.by.length} answered`)
  assert.is((await c.mesh.why(a.device.id)).kind, 'answered', 'others are answered still')
})

rule('says that nobody is connected, or that the other does not answer', async () => {
  await using stack = new AsyncDisposableStack()
  const a = stack.use(
    await startAgent(acme, 'ant', {
      initial: everybody,
      evidence: () => Promise.reject(new Error('the tunnel is gone')),
    }),
  )
  const b = stack.use(await startAnswering('bee', { known: { ant: [a.address()] } }))
  await until('linked', () => linked(b, a) && linked(a, b))
  assert.equal(await b.mesh.why(acme.device('cow').id), {
    kind: 'not-connected',
    refusal: undefined,
  })
  assert.is((await b.mesh.why(a.device.id)).kind, 'unanswered')
  assert.ok(linked(b, a), 'a device that cannot answer is not punished')
})

rule('says that the other takes too long', async () => {
  await using stack = new AsyncDisposableStack()
  const never = Promise.withResolvers<never>()
  const a = stack.use(await startAnswering('ant', { evidence: () => never.promise }))
  const b = stack.use(await startAnswering('bee', { known: { ant: [a.address()] } }))
  await until('linked', () => linked(b, a) && linked(a, b))
  assert.equal(await b.mesh.why(a.device.id), {
    kind: 'unanswered',
    reason: 'no answer within 4 s',
  })
})

rule('says that it refuses the other for its clock, on either side', async () => {
  await using stack = new AsyncDisposableStack()
  const clock: typeof systemClock = {
    ...systemClock,
    now: () => seconds(systemClock.now() + 600),
    nowMs: () => systemClock.nowMs() + 600_000,
  }
  const a = stack.use(await startAnswering('ant', { clock }))
  const b = stack.use(await startAnswering('bee', { known: { ant: [a.address()] } }))
  const refusals = async (): Promise<readonly string[]> =>
    (await Promise.all([b.mesh.why(a.device.id), a.mesh.why(b.device.id)])).map((reply) =>
      reply.kind === 'not-connected' ? (reply.refusal ?? 'none') : reply.kind,
    )
  const refused = (agent: MeshAgent) => saysWarning(agent, 'mesh.peer-refused').length > 0
  await until('one has refused the other', () => refused(a) || refused(b))
  assert.ok((await refusals()).some((each) => /^clock: .* more than 5 minutes apart/.test(each)))
})

rule('knows an older version by its silence on the protocol', async () => {
  await using stack = new AsyncDisposableStack()
  const b = stack.use(await startAnswering('bee'))
  const old = stack.use(await startRogue(acme, 'cow'))
  await old.connect(b.address())
  await until('linked', () => b.mesh.connections().length > 0)
  assert.equal(await b.mesh.why(acme.device('cow').id), { kind: 'not-understood' })
})

rule('drops whoever answers with nonsense, or asks with it', async () => {
  for (const frame of [new Uint8Array(0), Uint8Array.of(0xff), new Uint8Array(9000)]) {
    await using stack = new AsyncDisposableStack()
    const b = stack.use(await startAnswering('bee'))
    const rogue = stack.use(await startRogue(acme, 'cow'))
    await serve(
      rogue.mesh,
      rogue.links,
      WHY_PROTOCOL,
      { maxInboundStreams: 2 },
      async (stream) => {
        const channel = frameChannel(stream, 64, AbortSignal.timeout(10_000))
        await channel.read()
        await channel.write(frame)
      },
      () => undefined,
    )
    await rogue.connect(b.address())
    await until('linked', () => b.mesh.connections().length > 0)
    assert.is((await b.mesh.why(acme.device('cow').id)).kind, 'unanswered')
    await until('dropped', () => b.mesh.connections().length === 0)
    assert.is(saysWarning(b, 'mesh.peer-faulty').length, 1)
  }
})

rule(
  'answers a question with more in it than it knows, none that is malformed or too long',
  async () => {
    await using stack = new AsyncDisposableStack()
    const b = stack.use(await startAnswering('bee'))
    const ask = async (frame: Uint8Array): Promise<string> => {
      await using rogue = await startRogue(acme, 'cow')
      await rogue.connect(b.address())
      await until('linked', () => b.mesh.connections().length > 0)
      const [connection] = rogue.mesh.node.getConnections()
      if (connection === undefined) throw new Error('not connected')
      const stream = await connection.newStream(WHY_PROTOCOL)
      const channel = frameChannel(stream, 8192, AbortSignal.timeout(10_000))
      await channel.write(frame)
      return await channel.read().then(
        (answer) => parseAnswer(answer).kind,
        (error: unknown) => `nothing: ${String(error)}`,
      )
    }
    assert.is(await ask(encodeQuestion()), 'evidence')
    assert.is(await ask(Uint8Array.of(0xa1, 0x05, 0x06)), 'evidence')
    assert.match(await ask(new Uint8Array(65)), /^nothing: /)
  },
)

rule.run()
