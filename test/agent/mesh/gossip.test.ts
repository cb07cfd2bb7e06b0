import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { systemClock } from '../../../agent/system-clock.ts'
import { openEnvelope } from '../../../protocol/envelope.ts'
import { MANIFEST_BYTES } from '../../../protocol/limits.ts'
import { apply } from '../../../protocol/state.ts'
import { testOrganization } from '../../support/organization.ts'
import { linked, type MeshAgent, saysWarning, startAgent, until } from './mesh-agent.ts'
import { startRogue } from './rogue.ts'

const acme = testOrganization('acme', systemClock.now())
const names = ['ant', 'bee', 'cow', 'dog', 'eel']
const everybody = acme.stateWith(...names)
const rule = suite('gossip over TCP')

/** Agents that each know the address of the one before. */
const startRow = async (stack: AsyncDisposableStack, count: number): Promise<MeshAgent[]> => {
  const row: MeshAgent[] = []
  for (const name of names.slice(0, count)) {
    const before = row.at(-1)
    const known = before === undefined ? {} : { [before.device.name]: [before.address()] }
    row.push(stack.use(await startAgent(acme, name, { initial: everybody, known })))
  }
  return row
}
const subscribed = (agents: readonly MeshAgent[]): boolean =>
  agents.every((agent, n) => {
    const [before, after] = [agents[n - 1], agents[n + 1]]
    return [before, after].every((each) => each === undefined || linked(agent, each))
  })
const sequenceAt = (agent: MeshAgent, of: MeshAgent): number =>
  agent.state().endpoints.get(of.device.id)?.body.sequence ?? 0
const peer = (of: MeshAgent) => ({
  device: of.device.id,
  name: of.device.name,
  updateSequence: 0,
  multiaddrs: [of.address()],
  overlayAddresses: [],
})

rule('takes an endpoint update down a row of five, and back', async () => {
  await using stack = new AsyncDisposableStack()
  const row = await startRow(stack, 5)
  const [first, last] = [row[0], row[4]] as [MeshAgent, MeshAgent]
  await until('all linked', () => subscribed(row))
  await systemClock.sleep(1200) // a gossipsub heartbeat: meshes are formed
  await first.publish(acme.endpoint(first.device, { sequence: 7 }))
  await until('all know', () => row.every((each) => sequenceAt(each, first) === 7))
  await last.publish(acme.endpoint(last.device, { sequence: 8 }))
  await until('and back', () => row.every((each) => sequenceAt(each, last) === 8))
})

rule('reaches peers that came up in the same moment: sync fills what gossip missed', async () => {
  await using stack = new AsyncDisposableStack()
  const row = await startRow(stack, 3)
  const first = row[0] as MeshAgent
  await first.publish(acme.endpoint(first.device, { sequence: 3 }))
  await until('all know', () => row.every((each) => sequenceAt(each, first) === 3))
})

rule(
  'passes on what sync has taught, to those who are not linked to whom it came from',
  async () => {
    await using stack = new AsyncDisposableStack()
    const [dog, sequence] = [acme.device('dog'), 7]
    const told = openEnvelope(acme.endpoint(dog, { sequence }))
    const knowing = apply(everybody, told, systemClock.now()).state
    const knows = (agent: MeshAgent): boolean =>
      agent.state().endpoints.get(dog.id)?.body.sequence === sequence
    const [ant, bee] = (await startRow(stack, 2)) as [MeshAgent, MeshAgent]
    await until('linked', () => linked(ant, bee) && linked(bee, ant))
    await systemClock.sleep(4000) // they have synced twice: the next time is a minute off
    const eel = stack.use(await startAgent(acme, 'eel', { initial: knowing }))
    eel.mesh.setPeers([peer(ant)])
    await until('the neighbour is taught', () => knows(ant))
    await until('the one behind hears of it', () => knows(bee))
    assert.equal([linked(eel, bee), linked(eel, ant)], [false, true])
  },
)

rule('goes on between two that dialled each other at the same time', async () => {
  await using stack = new AsyncDisposableStack()
  const a = stack.use(await startAgent(acme, 'ant', { initial: everybody }))
  const b = stack.use(await startAgent(acme, 'bee', { initial: everybody }))
  a.mesh.setPeers([peer(b)])
  b.mesh.setPeers([peer(a)])
  await until('each has dialled the other', () => a.mesh.connections().length === 2)
  await until('one connection stays', () => a.mesh.connections().length === 1, 6000)
  for (let sequence = 1; sequence <= 3; sequence++) {
    await a.publish(acme.endpoint(a.device, { sequence }))
    await b.publish(acme.endpoint(b.device, { sequence }))
    await until('both know', () => sequenceAt(b, a) === sequence && sequenceAt(a, b) === sequence)
  }
})

rule(
  'finds its way back when of two connections the one with the gossip streams closes',
  async () => {
    await using stack = new AsyncDisposableStack()
    const a = stack.use(await startAgent(acme, 'ant', { initial: everybody }))
    const rogue = stack.use(await startRogue(acme, 'bee'))
    await rogue.connect(a.address())
    await until(
      'gossip is up',
      () => rogue.mesh.gossip.getSubscribers(rogue.mesh.topic).length === 1,
    )
    await rogue.connect(a.address())
    const [first] = rogue.links.all()
    await first?.connection.close()
    await until('repaired', () => rogue.links.all().length === 1)
    const heard: number[] = []
    rogue.mesh.gossip.addEventListener('message', ({ detail }) => heard.push(detail.data.length))
    await systemClock.sleep(300)
    await a.publish(acme.endpoint(a.device, { sequence: 9 }))
    await until('heard', () => heard.length > 0)
  },
)

const bad: Readonly<Record<string, Uint8Array>> = {
  truncated: acme.endpoint(acme.device('ant')).subarray(0, -9),
  'bit-flipped': acme.endpoint(acme.device('ant')).map((byte, n) => (n === 120 ? byte ^ 1 : byte)),
  oversized: new Uint8Array(MANIFEST_BYTES + 1).fill(0x80),
  empty: Uint8Array.of(0xa0),
}
for (const [what, bytes] of Object.entries(bad)) {
  rule(
    `throws out a member that sends a ${what} envelope, with one line, and believes nothing`,
    async () => {
      await using stack = new AsyncDisposableStack()
      const a = stack.use(await startAgent(acme, 'ant', { initial: everybody }))
      const rogue = stack.use(await startRogue(acme, 'bee'))
      await rogue.connect(a.address())
      const { topic, gossip } = rogue.mesh
      // Not only subscribed: what is published before the streams are there is lost.
      const meshes = gossip as unknown as { mesh: ReadonlyMap<string, ReadonlySet<string>> }
      await until('gossip is up', () => meshes.mesh.get(topic)?.size === 1)
      const before = a.state()
      await rogue.gossip(bytes)
      await until('thrown out', () => a.mesh.connections().length === 0)
      await rogue.connect(a.address()).then(
        () => assert.unreachable('it came back at once'),
        () => undefined,
      )
      assert.is(a.state(), before)
      assert.is(saysWarning(a, 'mesh.peer-faulty').length, 1)
    },
  )
}

rule('never parses a message beyond every bound, and goes on with the others', async () => {
  await using stack = new AsyncDisposableStack()
  const [a, b] = (await startRow(stack, 2)) as [MeshAgent, MeshAgent]
  await until('linked', () => linked(a, b))
  const rogue = stack.use(await startRogue(acme, 'cow'))
  await rogue.connect(a.address())
  const { topic, gossip } = rogue.mesh
  const meshes = gossip as unknown as { mesh: ReadonlyMap<string, ReadonlySet<string>> }
  await until('gossip is up', () => meshes.mesh.get(topic)?.size === 1)
  const before = a.state()
  await rogue.gossip(new Uint8Array(1 << 20).fill(1))
  await systemClock.sleep(200)
  assert.is(a.state(), before)
  await b.publish(acme.endpoint(b.device, { sequence: 2 }))
  await until('still hears', () => sequenceAt(a, b) === 2)
})

rule.run()
