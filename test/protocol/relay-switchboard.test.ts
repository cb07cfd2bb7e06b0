import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { toHex } from '../../crypto/bytes.ts'
import { relayAddressOf } from '../../protocol/relay.ts'
import { type RelayPort, RelaySwitchboard } from '../../protocol/relay-switchboard.ts'
import { testOrganization } from '../support/organization.ts'

const acme = testOrganization('acme')
const [a, b, c] = ['a', 'b', 'c'].map((name) => relayAddressOf(acme.device(name).id)) as [
  string,
  string,
  string,
]
const hello = Uint8Array.of(1, 2, 3)
const rule = suite('relay switchboard (SPEC §7.4)')

/** A port that keeps what it was given as `peer:datagram`. */
const port = (): RelayPort & { got: string[] } => {
  const got: string[] = []
  return {
    got,
    send: ({ peer, datagram }) => void got.push(`${peer}:${toHex(datagram)}`),
  }
}

rule('passes a datagram to the port of its device, naming the sender', () => {
  const board = new RelaySwitchboard()
  const [toA, toB] = [port(), port()]
  board.attach(a, toA)
  board.attach(b, toB)
  board.forward(a, { peer: b, datagram: hello })
  assert.equal([toA.got, toB.got], [[], [`${a}:010203`]])
})

rule('answers for a device that is not here with an empty datagram of its address', () => {
  const board = new RelaySwitchboard()
  const toA = port()
  board.attach(a, toA)
  board.forward(a, { peer: c, datagram: hello })
  assert.equal(toA.got, [`${c}:`])
})

rule('passes on no empty datagram, which would read as "unreachable", and answers none', () => {
  const board = new RelaySwitchboard()
  const [toA, toB] = [port(), port()]
  board.attach(a, toA)
  board.attach(b, toB)
  board.forward(a, { peer: b, datagram: new Uint8Array(0) })
  board.forward(a, { peer: c, datagram: new Uint8Array(0) })
  assert.equal([toA.got, toB.got], [[], []])
})

rule('sends by the newest port of a device, and keeps it when the older one ends', () => {
  const board = new RelaySwitchboard()
  const [old, young] = [port(), port()]
  board.attach(b, old)
  board.attach(b, young)
  board.detach(b, old)
  board.forward(a, { peer: b, datagram: hello })
  assert.equal([old.got, young.got], [[], [`${a}:010203`]])
})

rule('goes back to an older port of a device when the newest ends', () => {
  const board = new RelaySwitchboard()
  const [old, young] = [port(), port()]
  board.attach(b, old)
  board.attach(b, young)
  board.detach(b, young)
  board.forward(a, { peer: b, datagram: hello })
  assert.equal([old.got, young.got], [[`${a}:010203`], []])
  board.detach(b, old)
  assert.not(board.has(b))
})

rule.run()
