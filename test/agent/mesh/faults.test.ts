import { lpStream } from '@libp2p/utils'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SYNC_PROTOCOL } from '../../../agent/mesh/sync-stream.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import { FRAME_BYTES } from '../../../protocol/limits.ts'
import { PUNCH_BYTES, PUNCH_PROTOCOL } from '../../../protocol/punch.ts'
import { RELAY_PROTOCOL } from '../../../protocol/relay.ts'
import { encodeSyncMessage } from '../../../protocol/sync.ts'
import { testOrganization } from '../../support/organization.ts'
import { type MeshAgent, saysWarning, startAgent, until } from './mesh-agent.ts'
import { type Rogue, startRogue } from './rogue.ts'

const acme = testOrganization('acme', systemClock.now())
const everybody = acme.stateWith('ant', 'bee')
const rule = suite('a member whose software is at fault')

const signal = (): AbortSignal => AbortSignal.timeout(3000)
/** What the rogue sends on a stream of a protocol; then what became of it. */
const misbehave = async (
  protocol: string,
  send: (stream: Awaited<ReturnType<typeof open>>) => Promise<void> | void,
): Promise<MeshAgent> => {
  await using agent = await startAgent(acme, 'ant', { initial: everybody, relayServer: true })
  await using rogue = await startRogue(acme, 'bee')
  await rogue.connect(agent.address())
  const before = agent.state()
  await send(await open(rogue, protocol))
  await until('thrown out', () => agent.mesh.connections().length === 0, 3000)
  assert.is(agent.state(), before)
  assert.equal([agent.datagrams, agent.punches], [[], []])
  await rogue.connect(agent.address()).then(
    () => assert.unreachable('it came back at once'),
    () => undefined,
  )
  assert.is(saysWarning(agent, 'mesh.peer-faulty').length, 1)
  return agent
}
const open = async (rogue: Rogue, protocol: string) => {
  const [link] = rogue.links.all()
  if (link === undefined) throw new Error('not linked')
  return link.connection.newStream(protocol, { signal: signal(), runOnLimitedConnection: true })
}
const flipped = acme.endpoint(acme.device('bee')).map((byte, n) => (n === 130 ? byte ^ 8 : byte))

const frames: Readonly<Record<string, Uint8Array>> = {
  'a forged envelope': encodeSyncMessage({ kind: 'envelopes', envelopes: [flipped] }),
  'a truncated message': encodeSyncMessage({ kind: 'envelopes', envelopes: [flipped] }).slice(
    0,
    -9,
  ),
  'a message out of order': encodeSyncMessage({ kind: 'end' }),
  'a frame beyond its bound': new Uint8Array(FRAME_BYTES + 1),
}
for (const [what, frame] of Object.entries(frames)) {
  rule(`is thrown out, with one line, for ${what} in a sync`, async () => {
    await misbehave(SYNC_PROTOCOL, async (stream) => {
      await lpStream(stream).write(frame, { signal: signal() })
    })
  })
}

rule('is thrown out for a relay frame out of bounds', async () => {
  await misbehave(RELAY_PROTOCOL, (stream) => {
    stream.send(Uint8Array.of(0xff, 0xff, 1, 2, 3))
  })
})

rule('is thrown out for a punch that is none, or too long', async () => {
  for (const frame of [Uint8Array.of(0xa1, 1, 1, 1), new Uint8Array(PUNCH_BYTES + 1)]) {
    await misbehave(PUNCH_PROTOCOL, async (stream) => {
      await lpStream(stream).write(frame, { signal: signal() })
    })
  }
})

rule('is denied for a while, and forgiven when its certificate is replaced', async () => {
  await using agent = await startAgent(acme, 'ant', { initial: everybody })
  await using rogue = await startRogue(acme, 'bee')
  await rogue.connect(agent.address())
  await lpStream(await open(rogue, SYNC_PROTOCOL)).write(Uint8Array.of(0), { signal: signal() })
  await until('thrown out', () => agent.mesh.connections().length === 0)
  agent.mesh.setPeers([])
  const { id } = acme.device('bee')
  agent.mesh.setPeers([
    { device: id, name: 'bee', updateSequence: 0, multiaddrs: [], overlayAddresses: [] },
  ])
  await rogue.connect(agent.address())
  await until('back', () => agent.mesh.connections().length === 1)
})

rule.run()
