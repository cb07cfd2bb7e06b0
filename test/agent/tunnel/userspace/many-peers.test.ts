// time limit: 120 s
/** A thousand peers: what one packet or one moment costs does not grow with them. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Deadlines } from '../../../../agent/tunnel/userspace/deadlines.ts'
import { Machine } from '../../../../agent/tunnel/userspace/machine.ts'
import {
  agreementKeyPairFromPrivate,
  parseAgreementPublicKey,
} from '../../../../crypto/agreement.ts'
import { parseEndpoint, parsePrefix } from '../../../../protocol/address.ts'
import { seconds } from '../../../../protocol/time.ts'
import { packetTo } from './virtual-net.ts'

const rule = suite('a thousand peers')
const COUNT = 1000

rule('asks a peer for its deadline only when it is due, or its own packet passes', () => {
  let asked = 0
  const due = new Map<number, number>()
  const deadlines = new Deadlines<number>((owner) => {
    asked += 1
    return due.get(owner) ?? Number.POSITIVE_INFINITY
  })
  for (let owner = 0; owner < COUNT; owner += 1) {
    due.set(owner, 10_000 + owner)
    deadlines.changed(owner)
  }
  asked = 0
  for (let packet = 0; packet < 5000; packet += 1) {
    due.set(7, 10_007 + packet)
    deadlines.changed(7)
    assert.is(deadlines.takeDue(5000), undefined)
  }
  assert.is(asked, 5000)
})

rule('shakes hands with the one that a packet is for, and no other', () => {
  let nowMs = 0
  const sent = new Map<string, number>()
  const machine = new Machine({
    clock: {
      monotonicMs: () => nowMs,
      nowMs: () => nowMs,
      now: () => seconds(Math.floor(nowMs / 1000)),
    },
    random: (length) => {
      const bytes = new Uint8Array(length)
      crypto.getRandomValues(bytes)
      return bytes
    },
    send: (_datagram, { address }) => sent.set(address, (sent.get(address) ?? 0) + 1),
    deliver: () => undefined,
  })
  machine.setPrivateKey(agreementKeyPairFromPrivate(new Uint8Array(32).fill(9)))
  for (let number = 0; number < COUNT; number += 1) {
    const publicKey = parseAgreementPublicKey(
      Uint8Array.of(...new Uint8Array(29).fill(3), number & 255, number >> 8, 1),
    )
    const host = `${number >> 8}.${number & 255}`
    machine.setPeer(publicKey, { endpoint: parseEndpoint(`192.0.${host}:51820`) })
    machine.allow(publicKey, [parsePrefix(`10.0.${host}/32`)])
  }
  assert.is(machine.nextMs(), Number.POSITIVE_INFINITY)
  assert.is(machine.outgoing(packetTo('10.9.9.9', '10.0.2.17')), true)
  assert.equal([...sent], [['192.0.2.17', 1]])
  for (; nowMs < 200_000; nowMs = Math.min(200_000, machine.nextMs())) machine.onTime()
  assert.equal([...sent.keys()], ['192.0.2.17'])
  assert.ok((sent.get('192.0.2.17') ?? 0) >= 17)
  assert.is(machine.indicesInUse, 1)
})

rule.run()
