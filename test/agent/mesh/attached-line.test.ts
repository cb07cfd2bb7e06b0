import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { AttachedLine } from '../../../agent/mesh/attached-line.ts'
import { toHex } from '../../../crypto/bytes.ts'
import { sha256 } from '../../../crypto/hash.ts'
import type { RelayFrame } from '../../../protocol/relay.ts'
import {
  CONTROL_ADDRESS,
  controlFrame,
  isControl,
  parseControl,
} from '../../../protocol/relay-control.ts'
import { VirtualClock } from '../../../simulations/world/virtual-clock.ts'
import { transportMessage } from '../../support/wireguard-message.ts'

const frame = { peer: '11'.repeat(9), datagram: transportMessage('hello') }

/** A line on a virtual clock, to a relay that answers pings while `answers` says so. */
function line() {
  const clock = new VirtualClock()
  const said = { pings: [] as { atMs: number; echo: string }[], doubts: [] as boolean[], dead: 0 }
  let seed = 0
  let answers = true
  let isClosed = false
  const challenge = sha256(Uint8Array.of(7)).slice(0, 8)
  const made: AttachedLine = new AttachedLine(
    {
      session: '00',
      send: (sent: RelayFrame) => {
        const control = isControl(sent) ? parseControl(sent.datagram) : undefined
        if (control?.kind !== 'ping') return true
        said.pings.push({ atMs: clock.monotonicMs(), echo: toHex(control.echo) })
        const { token, length } = control
        const pong = controlFrame({ kind: 'pong', token, challenge, length })
        if (answers) clock.after(40, () => made.received(pong))
        return true
      },
      close: () => {
        isClosed = true
      },
    },
    {
      clock,
      random: (length) => sha256(Uint8Array.of(seed++)).slice(0, length),
      onFrame: () => undefined,
      onDoubt: () => said.doubts.push(made.isDoubted()),
      onDead: () => {
        said.dead += 1
        made.close()
      },
    },
  )
  return {
    ...{ clock, line: made, said, challenge },
    silence: () => {
      answers = false
    },
    speak: () => {
      answers = true
    },
    isClosed: () => isClosed,
    pingsIn: async (ms: number): Promise<number> => {
      const before = said.pings.length
      await clock.advance(ms)
      return said.pings.length - before
    },
  }
}
const rule = suite('attached lines (SPEC §12.7.3)')

rule('claims its session at once, and echoes the challenge from then on', async () => {
  const { said, challenge, pingsIn } = line()
  assert.equal(said.pings, [{ atMs: 0, echo: '00'.repeat(8) }])
  assert.is(await pingsIn(60_000), 6)
  assert.ok(said.pings.slice(1).every(({ echo }) => echo === toHex(challenge)))
})

rule('pings every second while datagrams of users flow, either way', async () => {
  const { line: made, pingsIn } = line()
  await pingsIn(500)
  made.send(frame)
  assert.is(await pingsIn(5000), 5)
  await pingsIn(20_000)
  made.received(frame)
  assert.is(await pingsIn(5000), 5)
  made.send({ peer: CONTROL_ADDRESS, datagram: Uint8Array.of(99) })
  assert.ok((await pingsIn(10_000)) <= 2)
})

rule('is doubted after a second of silence, and no more when something comes', async () => {
  const { line: made, said, silence, speak, clock } = line()
  await clock.advance(9500)
  silence()
  await clock.advance(2000)
  assert.ok(made.isDoubted())
  speak()
  await clock.advance(2100)
  assert.equal([made.isDoubted(), said.doubts], [false, [true, false]])
})

rule('is dead where nothing comes for long, and then sends nothing', async () => {
  const { line: made, said, silence, clock, isClosed, pingsIn } = line()
  await clock.advance(1000)
  silence()
  await clock.advance(30_000)
  assert.equal([said.dead, isClosed(), made.isOpen()], [1, true, false])
  assert.equal([made.send(frame), await pingsIn(60_000)], [false, 0])
})

rule.run()
