/** Both messages of a handshake and the first packets, against bytes that another implementation made. */
import { readFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MacReader, MacWriter } from '../../../../agent/tunnel/userspace/cookies.ts'
import { Keypair } from '../../../../agent/tunnel/userspace/keypair.ts'
import { newMessage, readUint64, writeUint64 } from '../../../../agent/tunnel/userspace/messages.ts'
import {
  createInitiation,
  createResponse,
  openInitiation,
  openResponse,
  proveInitiation,
} from '../../../../agent/tunnel/userspace/noise.ts'
import { agreementKeyPairFromPrivate, sharedSecret } from '../../../../crypto/agreement.ts'
import { fromHex, toHex } from '../../../../crypto/bytes.ts'
import { parseEndpoint } from '../../../../protocol/address.ts'

interface Vector extends Readonly<Record<string, string | number>> {
  readonly name: string
  readonly initiatorIndex: number
  readonly responderIndex: number
  readonly cookieSource: string
}

const file = new URL('../../../vectors/wireguard/handshake.json', import.meta.url)
const vectors: readonly Vector[] = JSON.parse(readFileSync(file, 'utf8')).vectors

const rule = suite('WireGuard’s handshake (whitepaper §5.4)')

function cast(vector: Vector) {
  const bytes = (name: string): Uint8Array => fromHex(String(vector[name]))
  const pair = (name: string) => agreementKeyPairFromPrivate(bytes(name))
  const [initiator, responder] = [pair('initiatorKey'), pair('responderKey')]
  const staticSecret = sharedSecret(initiator.privateKey, responder.publicKey)
  const presharedKey = bytes('presharedKey')
  const create = () =>
    createInitiation(
      initiator,
      { publicKey: responder.publicKey, staticSecret, presharedKey },
      {
        ephemeral: pair('initiatorEphemeral'),
        localIndex: vector.initiatorIndex,
        timestamp: bytes('timestamp'),
      },
    )
  const prove = (message: Uint8Array) => {
    const opened = openInitiation(responder, message)
    return opened && proveInitiation(opened, staticSecret)
  }
  const respond = () => {
    const proved = prove(bytes('initiation'))
    if (proved === undefined) throw new Error('not opened')
    const ephemeral = pair('responderEphemeral')
    return createResponse(proved, presharedKey, { ephemeral, localIndex: vector.responderIndex })
  }
  return { bytes, initiator, responder, presharedKey, create, prove, respond }
}

for (const vector of vectors) {
  const { bytes, initiator, responder, presharedKey, create, prove, respond } = cast(vector)

  rule(`makes the initiation ${vector.name}`, () => {
    const { message } = create()
    new MacWriter(responder.publicKey).write(message, 0)
    assert.is(toHex(message), vector['initiation'])
  })

  rule(`opens the initiation ${vector.name}`, () => {
    const proved = prove(bytes('initiation'))
    assert.equal(proved?.sender, initiator.publicKey)
    assert.is(toHex(proved?.timestamp ?? new Uint8Array()), vector['timestamp'])
    assert.is(proved?.remoteIndex, vector.initiatorIndex)
  })

  rule(`makes the response ${vector.name}`, () => {
    const { message } = respond()
    new MacWriter(initiator.publicKey).write(message, 0)
    assert.is(toHex(message), vector['response'])
  })

  rule(`opens the response, seals and opens the first packets ${vector.name}`, () => {
    const keys = openResponse(initiator, create().sent, presharedKey, bytes('response'))
    if (keys === undefined) throw new Error('not opened')
    const [ours, theirs] = [new Keypair(keys, true, 0), new Keypair(respond().keys, false, 0)]
    const packet = bytes('packet')
    assert.is(toHex(Buffer.concat(ours.seal(packet, 1420))), vector['firstFromInitiator'])
    const opened = theirs.open(bytes('firstFromInitiator'))
    assert.equal(opened?.subarray(0, packet.length), Buffer.from(packet))
    for (let sent = 0; sent < Number(vector['responderCounter']); sent += 1) {
      theirs.seal(new Uint8Array(), 1420)
    }
    const keepalive = Buffer.concat(theirs.seal(new Uint8Array(), 1420))
    assert.is(toHex(keepalive), vector['keepaliveFromResponder'])
    assert.is(ours.open(keepalive)?.length, 0)
  })

  rule(`makes and takes the cookie ${vector.name}`, () => {
    const drawn = [bytes('cookieSecret'), bytes('cookieNonce')]
    const macs = new MacReader(responder.publicKey, (length) => {
      const next = drawn.find((one) => one.length === length)
      if (next === undefined) throw new Error(`nobody draws ${length} bytes`)
      return next
    })
    const from = parseEndpoint(vector.cookieSource)
    assert.is(macs.isForUs(bytes('initiation')), true)
    // The nonce is drawn after the secret.
    assert.is(toHex(macs.reply(bytes('initiation'), from, 0)), vector['cookieReply'])
    assert.is(macs.hasCookie(bytes('initiationWithCookie'), from, 0), true)
    const writer = new MacWriter(responder.publicKey)
    writer.write(bytes('initiation'), 0)
    assert.is(writer.takeReply(bytes('cookieReply'), 0), true)
    const again = bytes('initiation')
    writer.write(again, 0)
    assert.is(toHex(again), vector['initiationWithCookie'])
  })

  rule(`opens neither message after a flip of any bit ${vector.name}`, () => {
    const { sent } = create()
    for (const [name, length, isOpened] of [
      ['initiation', 116, (message: Uint8Array) => prove(message)],
      [
        'response',
        60,
        (message: Uint8Array) => openResponse(initiator, sent, presharedKey, message),
      ],
    ] as const) {
      for (let bit = 0; bit < length * 8; bit += 1) {
        const flipped = bytes(name)
        flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        // Type and indices are authenticated by MAC1 alone, and stand for nothing in these functions.
        if (bit >> 3 < (name === 'initiation' ? 8 : 12)) continue
        assert.is(isOpened(flipped), undefined, `${name}, bit ${bit}`)
      }
    }
    assert.ok(openResponse(initiator, sent, presharedKey, bytes('response')))
  })

  rule(`opens no response with another preshared key ${vector.name}`, () => {
    const other = Uint8Array.from(presharedKey).fill(9, 31)
    assert.is(openResponse(initiator, create().sent, other, bytes('response')), undefined)
  })
}

rule('counts exactly up to the last message of a session', () => {
  for (const value of [0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 8193, Number.MAX_SAFE_INTEGER]) {
    const message = newMessage('transport')
    writeUint64(message, 8, value)
    assert.is(readUint64(message, 8), value)
    assert.is(new DataView(message.buffer).getBigUint64(8, true), BigInt(value))
  }
})

rule.run()
