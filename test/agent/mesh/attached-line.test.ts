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
  PING_BYTES,
  parseControl,
} from '../../../protocol/relay-control.ts'
import { UDP_DATAGRAM_BYTES } from '../../../protocol/relay-udp.ts'
import { VirtualClock } from '../../../simulations/world/virtual-clock.ts'
import { transportMessage } from '../../support/wireguard-message.ts'

const frame = { peer: '11'.repeat(9), datagram: transportMessage('hello') }

interface Said {
  readonly atMs: number
  readonly echo: string
  readonly length: number
}

/** A line on a virtual clock, to a relay that answers pings of `most` bytes while `answers` says so. */
function line(most = UDP_DATAGRAM_BYTES) {
  const clock = new VirtualClock()
  const said = { pings: [] as Said[], ends: 0, doubts: [] as boolean[], dead: 0 }
  let seed = 0
  let answers = true
  let isClosed = false
  const challenge = sha256(Uint8Array.of(7)).slice(0, 8)
  const made: AttachedLine = new AttachedLine(
    {
      session: '00',
      send: (sent: RelayFrame) => {
        const control = isControl(sent) ? parseControl(sent.datagram) : undefined
        if (control?.kind === 'udp-use' && control.use === 'off') said.ends += 1
        if (control?.kind !== 'ping') return true
        const { token, length } = control
        said.pings.push({ atMs: clock.monotonicMs(), echo: toHex(control.echo), length })
        const pong = controlFrame({ kind: 'pong', token, challenge, length })
        if (answers && length <= most) clock.after(40, () => made.received(pong))
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

rule(
  'claims its session at once, echoes the challenge at once, and tries the full size',
  async () => {
    const { said, challenge, pingsIn, line: made } = line()
    const echo = toHex(challenge)
    await pingsIn(100)
    assert.equal(said.pings, [
      { atMs: 0, echo: '00'.repeat(8), length: PING_BYTES },
      { atMs: 40, echo, length: PING_BYTES },
      { atMs: 40, echo, length: UDP_DATAGRAM_BYTES },
    ])
    assert.is(await pingsIn(60_000), 5)
    assert.ok(said.pings.slice(3).every((each) => each.echo === echo && each.length === PING_BYTES))
    assert.not(made.isDoubted())
  },
)

rule('is doubted where the full size does not pass, and goes on', async () => {
  const { said, pingsIn, line: made } = line(1400)
  await pingsIn(5000)
  const full = said.pings.filter(({ length }) => length === UDP_DATAGRAM_BYTES)
  assert.equal([full.length, made.isDoubted(), said.doubts], [3, true, [true]])
  await pingsIn(60_000)
  assert.equal([said.dead, made.send(frame)], [0, true])
  const large = { ...frame, datagram: new Uint8Array(UDP_DATAGRAM_BYTES + 1) }
  assert.not(made.send(large))
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
  await clock.advance(10_500)
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
  assert.is(said.ends, 1)
  assert.equal([made.send(frame), await pingsIn(60_000)], [false, 0])
})

rule.run()
