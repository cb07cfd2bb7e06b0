/** Secrets of a handshake are zero when it has ended, and those of a peer when it is removed (whitepaper §5.4, §6.3). */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Handshake } from '../../../../agent/tunnel/userspace/handshake.ts'
import {
  createInitiation,
  createResponse,
  openInitiation,
  type ProvedInitiation,
  proveInitiation,
  type SentInitiation,
} from '../../../../agent/tunnel/userspace/noise.ts'
import { Timestamps } from '../../../../agent/tunnel/userspace/tai64n.ts'
import { agreementKeyPairFromPrivate, sharedSecret } from '../../../../crypto/agreement.ts'
import { toHex } from '../../../../crypto/bytes.ts'
import { introduce, say, VirtualNet } from './virtual-net.ts'

const rule = suite('secrets of WireGuard in the process')

const filled = (byte: number): Uint8Array => new Uint8Array(32).fill(byte)
const pairOf = (byte: number) => agreementKeyPairFromPrivate(filled(byte))
const [OWN, PEER, EPHEMERAL, THEIR_EPHEMERAL] = [pairOf(1), pairOf(2), pairOf(3), pairOf(4)]
const PRESHARED_KEY = filled(5)
const STATIC_SECRET = sharedSecret(OWN.privateKey, PEER.publicKey)
const [LOCAL_INDEX, WALL_MS] = [7, 1_767_268_800_000]

/** What was in the buffers that were zeroed meanwhile, hexadecimal. */
function zeroedBy(act: () => void): ReadonlySet<string> {
  const zeroed = new Set<string>()
  const { fill } = Uint8Array.prototype
  Uint8Array.prototype.fill = function (...[value, ...range]) {
    if (value === 0 && range.length === 0) zeroed.add(toHex(this))
    return fill.call(this, value, ...range)
  }
  try {
    act()
  } finally {
    Reflect.deleteProperty(Uint8Array.prototype, 'fill')
  }
  return zeroed
}

function assertZeroed(act: () => void, secrets: Readonly<Record<string, Uint8Array>>): void {
  const wanted = Object.entries(secrets).map(([name, secret]) => [name, toHex(secret)] as const)
  const zeroed = zeroedBy(act)
  const left = wanted.filter(([, secret]) => !zeroed.has(secret)).map(([name]) => name)
  assert.equal(left, [])
}

/** What `random` gave is to be looked at. */
function handshake(presharedKey = PRESHARED_KEY) {
  const given: Uint8Array[] = []
  const made = new Handshake(
    {
      own: () => OWN,
      random: () => {
        const bytes = filled(3)
        given.push(bytes)
        return bytes
      },
      timestamps: new Timestamps(),
      wallMs: () => WALL_MS,
      drawIndex: () => LOCAL_INDEX,
      freeIndex: () => {},
    },
    PEER.publicKey,
  )
  made.setPresharedKey(presharedKey)
  return { made, given }
}

/** As our handshake makes its first one. */
function firstInitiation() {
  return createInitiation(
    OWN,
    { publicKey: PEER.publicKey, staticSecret: STATIC_SECRET, presharedKey: PRESHARED_KEY },
    {
      ephemeral: EPHEMERAL,
      localIndex: LOCAL_INDEX,
      timestamp: new Timestamps().next(WALL_MS),
    },
  )
}

function transcriptOf({ chainingKey, hash }: SentInitiation) {
  return { 'the chaining key': chainingKey, 'the hash': hash }
}

/** The peer's initiation, as it comes to us. */
function theirInitiation(atMs = WALL_MS): Uint8Array {
  const { message } = createInitiation(
    PEER,
    { publicKey: OWN.publicKey, staticSecret: STATIC_SECRET, presharedKey: PRESHARED_KEY },
    { ephemeral: THEIR_EPHEMERAL, localIndex: 9, timestamp: new Timestamps().next(atMs) },
  )
  return message
}

function openedBy(own: typeof OWN, message: Uint8Array) {
  const opened = openInitiation(own, message)
  if (opened === undefined) throw new Error('not opened')
  return opened
}

function provedBy(own: typeof OWN, message: Uint8Array): ProvedInitiation {
  const proved = proveInitiation(openedBy(own, message), STATIC_SECRET)
  if (proved === undefined) throw new Error('not proved')
  return proved
}

const isZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0)

rule('an initiation leaves neither its ephemeral key nor what was agreed with it', () => {
  const { made, given } = handshake()
  const agreed = sharedSecret(EPHEMERAL.privateKey, PEER.publicKey)
  assertZeroed(() => assert.ok(made.initiate(0)), { 'what was agreed': agreed })
  assert.is(given.length, 1)
  assert.ok(given.every(isZero))
})

rule('an initiation that is answered leaves nothing, nor do the keys that it makes', () => {
  const { made } = handshake()
  const { message, sent } = firstInitiation()
  assert.equal(made.initiate(0)?.subarray(0, 116), message.subarray(0, 116))
  const fresh = { ephemeral: THEIR_EPHEMERAL, localIndex: 9 }
  const answer = createResponse(provedBy(PEER, message), PRESHARED_KEY, fresh)
  const { sending, receiving } = answer.keys
  assertZeroed(() => assert.ok(made.complete(answer.message, LOCAL_INDEX)), {
    ...transcriptOf(sent),
    'agreed by ephemeral keys': sharedSecret(EPHEMERAL.privateKey, THEIR_EPHEMERAL.publicKey),
    'agreed with our static key': sharedSecret(OWN.privateKey, THEIR_EPHEMERAL.publicKey),
    'our sending key': receiving.reveal().export(),
    'our receiving key': sending.reveal().export(),
  })
})

rule('a response that does not open leaves what was begun, and one that does completes it', () => {
  const { made } = handshake()
  made.initiate(0)
  const { message, sent } = firstInitiation()
  const respond = (presharedKey: Uint8Array) =>
    createResponse(provedBy(PEER, message), presharedKey, {
      ephemeral: THEIR_EPHEMERAL,
      localIndex: 9,
    }).message
  const zeroed = zeroedBy(() => {
    assert.is(made.complete(respond(filled(6)), LOCAL_INDEX), undefined)
  })
  assert.not(zeroed.has(toHex(sent.hash)))
  assert.ok(made.complete(respond(PRESHARED_KEY), LOCAL_INDEX))
})

rule('an initiation that another takes the place of, or that is given up, leaves nothing', () => {
  for (const end of [
    (made: Handshake) => assert.ok(made.initiate(10_000)),
    (made: Handshake) => made.clear(),
    (made: Handshake) => made.forgetOwnKey(),
    (made: Handshake) => made.end(),
    (made: Handshake) => assert.ok(made.answer(openedBy(OWN, theirInitiation()), 0)),
  ]) {
    const { made } = handshake()
    made.initiate(0)
    assertZeroed(() => end(made), transcriptOf(firstInitiation().sent))
  }
})

rule('an initiation of the peer’s that is answered leaves nothing', () => {
  const { made, given } = handshake()
  const opened = openedBy(OWN, theirInitiation())
  const { chainingKey } = provedBy(OWN, theirInitiation())
  assertZeroed(() => assert.ok(made.answer(opened, 0)), {
    'the chaining key': chainingKey,
    'agreed by ephemeral keys': sharedSecret(EPHEMERAL.privateKey, THEIR_EPHEMERAL.publicKey),
    'agreed with their static key': sharedSecret(EPHEMERAL.privateKey, PEER.publicKey),
  })
  assert.ok(isZero(opened.chainingKey))
  assert.ok(given.every(isZero))
})

rule('neither does one that came before, comes too soon, or is another’s', () => {
  const { made } = handshake()
  assert.ok(made.answer(openedBy(OWN, theirInitiation()), 0))
  for (const message of [theirInitiation(), theirInitiation(WALL_MS + 5000)]) {
    const opened = openedBy(OWN, message)
    const { chainingKey } = provedBy(OWN, message)
    const refuse = () => assert.is(made.answer(opened, 1), undefined)
    assertZeroed(refuse, { 'the chaining key': chainingKey })
    assert.ok(isZero(opened.chainingKey))
  }
  const opened = openedBy(OWN, theirInitiation())
  assert.is(proveInitiation(opened, filled(6)), undefined)
  assert.ok(isZero(opened.chainingKey))
})

rule('a preshared key is zero when another takes its place, or the peer is removed', () => {
  const { made } = handshake()
  const other = filled(6)
  assertZeroed(() => made.setPresharedKey(other), { 'the preshared key': PRESHARED_KEY })
  assertZeroed(() => made.end(), { 'the other': other })
  assert.equal([PRESHARED_KEY, other], [filled(5), filled(6)])
})

rule('what our static key agreed on goes with it, but not the preshared key', () => {
  const { made } = handshake()
  made.initiate(0)
  const zeroed = zeroedBy(() => made.forgetOwnKey())
  assert.ok(zeroed.has(toHex(STATIC_SECRET)))
  assert.not(zeroed.has(toHex(PRESHARED_KEY)))
})

rule('a machine’s peer takes its keys with it, and keeps the preshared one for our new key', () => {
  const net = new VirtualNet()
  const [a, b, c] = [net.host(1), net.host(2), net.host(3)]
  introduce(a, b, { presharedKey: PRESHARED_KEY })
  say(a, b)
  net.run(100)
  a.machine.setPrivateKey(c.keys)
  b.machine.setPeer(c.keys.publicKey, { endpoint: a.endpoint, presharedKey: PRESHARED_KEY })
  b.machine.removePeer(a.keys.publicKey)
  const before = net.sent.length
  say(a, b)
  net.run(100)
  assert.is(net.sent.length - before, 3)
  const secrets = {
    'the preshared key': PRESHARED_KEY,
    'the static secret': sharedSecret(c.keys.privateKey, b.keys.publicKey),
  }
  assertZeroed(() => a.machine.removePeer(b.keys.publicKey), secrets)
  assertZeroed(() => b.machine.end(), secrets)
})

rule.run()
