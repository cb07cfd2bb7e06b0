/** The small parts: routes, deadlines, timestamps, load, sessions' limits. */
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { AllowedIps } from '../../../../agent/tunnel/userspace/allowed-ips.ts'
import {
  REJECT_AFTER_MESSAGES,
  REKEY_AFTER_MESSAGES,
} from '../../../../agent/tunnel/userspace/constants.ts'
import { Deadlines } from '../../../../agent/tunnel/userspace/deadlines.ts'
import { Keypair } from '../../../../agent/tunnel/userspace/keypair.ts'
import { Keypairs } from '../../../../agent/tunnel/userspace/keypairs.ts'
import { Load } from '../../../../agent/tunnel/userspace/load.ts'
import { isWireGuard, messageKind } from '../../../../agent/tunnel/userspace/messages.ts'
import { PrefixTrie } from '../../../../agent/tunnel/userspace/prefix-trie.ts'
import { isLater, Timestamps } from '../../../../agent/tunnel/userspace/tai64n.ts'
import { sealingKey } from '../../../../crypto/aead.ts'
import { toHex } from '../../../../crypto/bytes.ts'
import { parseIpAddress, parsePrefix } from '../../../../protocol/address.ts'

const rule = suite('parts of WireGuard in the process')

rule('finds the longest prefix, as a look at all of them does', () => {
  const bytes = fc.uint8Array({ minLength: 2, maxLength: 2 })
  const step = fc.record({ bytes, length: fc.integer({ min: 0, max: 16 }), isGone: fc.boolean() })
  const property = fc.property(
    fc.array(step, { maxLength: 60 }),
    fc.array(bytes),
    (steps, asked) => {
      const trie = new PrefixTrie<string>()
      const all = new Map<string, string>()
      for (const [index, { bytes: whole, length, isGone }] of steps.entries()) {
        const bits = binary(whole).slice(0, length)
        const masked = Uint8Array.of(
          ...[0, 8].map((at) => Number.parseInt(bits.padEnd(16, '0').slice(at, at + 8), 2)),
        )
        if (isGone) {
          trie.delete(masked, length)
          all.delete(bits)
        } else {
          trie.set(masked, length, `${index}`)
          all.set(bits, `${index}`)
        }
      }
      for (const address of [...asked, ...steps.map(({ bytes: whole }) => whole)]) {
        const [longest] = [...all]
          .filter(([bits]) => binary(address).startsWith(bits))
          .toSorted(([a], [b]) => b.length - a.length)
        assert.is(trie.find(Uint8Array.of(9, ...address), 1), longest?.[1])
      }
    },
  )
  fc.assert(property)
})

function binary(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('')
}

rule('gives a prefix from one peer to another in one act, and takes it only from its owner', () => {
  const ips = new AllowedIps<string>()
  const [address, prefix] = [parseIpAddress('10.0.0.1'), parsePrefix('10.0.0.1/32')]
  const owner = () => ips.ownerAt(4, Uint8Array.from(address.split('.').map(Number)), 0)
  ips.give(prefix, 'a')
  ips.give(prefix, 'b')
  ips.take(prefix, 'a')
  assert.is(owner(), 'b')
  assert.equal([ips.of('a'), ips.of('b')], [[], [prefix]])
  ips.give(parsePrefix('10.0.0.0/8'), 'a')
  ips.forget('b')
  assert.is(owner(), 'a')
  ips.forget('a')
  assert.is(owner(), undefined)
})

rule('lets the one before send late from that very prefix alone, until its time is over', () => {
  const ips = new AllowedIps<string>()
  const [inner, outer] = [parsePrefix('10.0.0.1/32'), parsePrefix('10.0.0.0/24')]
  const may = (peer: string, last: number, nowMs = 0): boolean =>
    ips.maySend(peer, 4, Uint8Array.of(10, 0, 0, last), 0, nowMs)
  ips.give(outer, 'a')
  ips.give(inner, 'c')
  ips.give(outer, 'b')
  assert.equal([may('a', 2), may('b', 2)], [false, true])
  ips.setLate('a', [outer], 100)
  assert.equal([may('a', 2, 99), may('b', 2, 99), may('c', 2, 99)], [true, true, false])
  assert.equal([may('a', 2, 100), may('a', 1, 99)], [false, false])
  assert.is(ips.ownerAt(4, Uint8Array.of(10, 0, 0, 2), 0), 'b')
  assert.equal(ips.of('a'), [])
  // Saying it again gives no more time.
  ips.setLate('a', [outer], 200)
  assert.is(may('a', 2, 100), false)
})

rule('lets nobody send late who is forgotten, told off, or whose prefix nobody has', () => {
  const prefix = parsePrefix('10.0.0.1/32')
  const late = (peer: string, end: (ips: AllowedIps<string>) => void): boolean => {
    const ips = new AllowedIps<string>()
    ips.give(prefix, 'b')
    ips.setLate('a', [prefix], 100)
    end(ips)
    return ips.maySend(peer, 4, Uint8Array.of(10, 0, 0, 1), 0, 0)
  }
  assert.is(
    late('a', () => undefined),
    true,
  )
  assert.is(
    late('a', (ips) => ips.forget('a')),
    false,
  )
  assert.is(
    late('a', (ips) => ips.setLate('a', [], 100)),
    false,
  )
  assert.is(
    late('a', (ips) => ips.take(prefix, 'b')),
    false,
  )
  const isForgotten = (ips: AllowedIps<string>): void => {
    ips.forget('b')
    ips.give(prefix, 'c')
  }
  assert.is(late('a', isForgotten), false)
  assert.is(late('b', isForgotten), false)
  const isBack = (ips: AllowedIps<string>): void => {
    ips.give(prefix, 'a')
    ips.give(prefix, 'b')
  }
  assert.is(late('a', isBack), false)
  const ips = new AllowedIps<string>()
  ips.setLate('a', [prefix], 100)
  ips.give(prefix, 'b')
  assert.is(ips.maySend('a', 4, Uint8Array.of(10, 0, 0, 1), 0, 0), false)
})

rule('tells who is due in the order of time, though deadlines move', () => {
  const moves = fc.array(
    fc.record({ owner: fc.integer({ min: 0, max: 9 }), at: fc.integer({ min: 1, max: 1000 }) }),
  )
  const property = fc.property(moves, (steps) => {
    const due = new Map<number, number>()
    const deadlines = new Deadlines<number>((owner) => due.get(owner) ?? Number.POSITIVE_INFINITY)
    for (const { owner, at } of steps) {
      if (at % 7 === 0) {
        due.delete(owner)
        deadlines.forget(owner)
      } else due.set(owner, at)
      deadlines.changed(owner)
    }
    const wanted = [...due].map(([, at]) => at).toSorted((a, b) => a - b)
    const found: number[] = []
    for (let nowMs = 0; nowMs <= 1000; nowMs += 1) {
      assert.ok(deadlines.nextMs() >= nowMs)
      for (
        let owner = deadlines.takeDue(nowMs);
        owner !== undefined;
        owner = deadlines.takeDue(nowMs)
      ) {
        assert.is(due.get(owner), nowMs)
        found.push(nowMs)
        due.delete(owner)
        deadlines.changed(owner)
      }
    }
    assert.equal(found, wanted)
    assert.is(deadlines.nextMs(), Number.POSITIVE_INFINITY)
  })
  fc.assert(property)
})

rule('makes each timestamp later than all before, with a clock that stands or goes back', () => {
  const timestamps = new Timestamps()
  const clock = [
    1_767_268_800_000, 1_767_268_800_000, 1_767_268_800_001, 1_700_000_000_000, 1_767_268_800_999,
  ]
  const made = clock.map((nowMs) => timestamps.next(nowMs))
  for (const [index, one] of made.entries()) {
    assert.is(one.length, 12)
    const before = made[index - 1]
    if (before !== undefined) assert.ok(isLater(one, before), `${index}`)
  }
  assert.is(toHex(made[0] ?? new Uint8Array()), '40000000695661ca00000000')
  assert.not.ok(isLater(made[0] ?? new Uint8Array(), made[0] ?? new Uint8Array()))
})

rule('is under load from more than 64 messages in a second, until a second later', () => {
  const load = new Load()
  const asked = (nowMs: number, count: number) =>
    Array.from({ length: count }, () => load.isUnder(nowMs)).filter(Boolean).length
  assert.is(asked(0, 64), 0)
  assert.is(asked(999, 10), 10)
  assert.is(asked(1500, 1), 1)
  assert.is(asked(2000, 1), 0)
})

rule(
  'lets an address have 5 messages at once and 20 a second, and forgets none that is new',
  () => {
    const load = new Load()
    const allowed = (address: string, nowMs: number) =>
      Array.from({ length: 50 }, () => load.allows(parseIpAddress(address), nowMs)).filter(Boolean)
        .length
    assert.is(allowed('192.0.2.1', 0), 5)
    assert.is(allowed('192.0.2.1', 100), 2)
    assert.is(allowed('192.0.2.2', 100), 5)
    for (let index = 0; index < 20_000; index += 1) {
      load.allows(parseIpAddress(`10.1.${index >> 8}.${index & 255}`), 101)
    }
    assert.is(allowed('10.1.78.31', 101), 4)
  },
)

const KEYS = {
  sending: sealingKey(new Uint8Array(32)),
  receiving: sealingKey(new Uint8Array(32)),
  remoteIndex: 7,
}
const keypair = (localIndex: number, isInitiator: boolean, counter = 0): Keypair =>
  new Keypair({ ...KEYS, localIndex }, isInitiator, 0, counter)

rule(
  'asks for a new session after REKEY_AFTER_MESSAGES, and sends none after REJECT_AFTER_MESSAGES',
  () => {
    const many = keypair(1, false, REKEY_AFTER_MESSAGES)
    assert.is(many.isDueToSend(0), false)
    many.seal(new Uint8Array(), 1420)
    assert.is(many.isDueToSend(0), true)
    assert.is(many.canSend(0), true)
    const all = keypair(1, false, REJECT_AFTER_MESSAGES - 1)
    assert.is(all.canSend(0), true)
    const last = Buffer.concat(all.seal(new Uint8Array(), 1420))
    assert.is(all.canSend(0), false)
    const beyond = Buffer.concat(all.seal(new Uint8Array(), 1420))
    const other = keypair(2, true)
    assert.is(other.open(beyond), undefined)
    assert.is(other.open(last)?.length, 0)
  },
)

rule('takes packets up to 8,160 behind the newest', () => {
  const [ours, theirs] = [keypair(1, true), keypair(2, false)]
  const sent = Array.from({ length: 8200 }, () => Buffer.concat(ours.seal(new Uint8Array(), 1420)))
  assert.ok(theirs.open(sent[8199] ?? new Uint8Array(32)))
  assert.is(theirs.open(sent[39] ?? new Uint8Array(32)), undefined)
  assert.ok(theirs.open(sent[40] ?? new Uint8Array(32)))
  assert.is(theirs.open(sent[40] ?? new Uint8Array(32)), undefined)
})

rule('keeps three keypairs at most, and tells of each that goes, once', () => {
  const property = fc.property(fc.array(fc.integer({ min: 0, max: 3 })), (steps) => {
    const alive = new Set<Keypair>()
    let newest: Keypair | undefined
    const keypairs = new Keypairs((gone) => assert.ok(alive.delete(gone)))
    for (const [index, step] of steps.entries()) {
      const made = keypair(index, step === 0)
      if (step === 2 && newest !== undefined && alive.has(newest)) keypairs.confirm(newest)
      else if (step === 3) keypairs.clear()
      else {
        alive.add(made)
        newest = made
        keypairs.add(made)
        if (step === 0) assert.is(keypairs.current, made)
        else assert.is.not(keypairs.current, made)
      }
      assert.ok(alive.size <= 3)
    }
    keypairs.clear()
    assert.is(alive.size, 0)
  })
  fc.assert(property)
})

rule('tells its messages from STUN’s and from all others', () => {
  const sizes = { 1: 148, 2: 92, 3: 64, 4: 32 }
  for (const [type, bytes] of Object.entries(sizes)) {
    const message = new Uint8Array(bytes)
    message[0] = Number(type)
    assert.ok(messageKind(message))
    assert.is(messageKind(message.subarray(0, bytes - 1)), undefined)
    for (const at of [1, 2, 3]) assert.is(isWireGuard(message.with(at, 1)), false)
  }
  for (const stun of ['0001', '0101', '0111']) {
    assert.is(isWireGuard(Uint8Array.from(Buffer.from(`${stun}00002112a442`, 'hex'))), false)
  }
  for (const type of [0, 5, 255]) assert.is(isWireGuard(Uint8Array.of(type, 0, 0, 0)), false)
  assert.is(messageKind(new Uint8Array()), undefined)
})

rule.run()
