import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SPRAY_SOCKETS } from '../../../../agent/path/spray/limits.ts'
import { parseEndpoint } from '../../../../protocol/address.ts'
import { encodeStun } from '../../../../protocol/stun.ts'
import { TARGET } from './spray-world.ts'
import { newMember, newSprayerPair, type SprayerPair } from './sprayer-pair.ts'

/** Relayed for 5 s, asked, 256 mappings open, and not yet over. */
const OPEN_MS = 7500

const rule = suite('the sprayer (SPEC §10.8)')

function ofHard({ happened }: SprayerPair): readonly string[] {
  return happened.filter((line) => !line.startsWith('easy '))
}

rule('diverts before it answers, so that what follows the answer reaches WireGuard', async () => {
  const pair = newSprayerPair()
  await pair.run(14_000)
  const [started, found, diverted, heard, answer, ...more] = ofHard(pair)
  assert.equal([started, found], ['hard info path.spray-started', 'hard info path.spray-found'])
  assert.match(diverted ?? '', /^divert to 30\d\d\d$/)
  assert.is(heard, 'hard heard from 203.0.113.2:51820')
  assert.match(answer ?? '', /^answer from 198\.51\.100\.1:\d+$/)
  assert.equal(more, [])
  const endpoint = answer?.replace('answer from ', '')
  assert.ok(pair.happened.includes(`easy heard from ${endpoint}`))
  assert.equal([...pair.open], [Number(diverted?.replace('divert to ', ''))], 'its socket alone')
  pair.close()
  assert.is(pair.open.size, 0)
})

rule('gives the round up where the host does not divert, and answers nobody', async () => {
  const pair = newSprayerPair({
    divert: async () => {
      throw new Error('no such table')
    },
  })
  await pair.run(14_000)
  assert.equal(ofHard(pair).slice(1), ['hard info path.spray-found', 'hard warn path.not-diverted'])
  assert.is(pair.open.size, 0)
  pair.close()
})

rule('gives up the path after a while in which nothing uses it', async () => {
  const pair = newSprayerPair()
  await pair.run(24_000)
  assert.ok(pair.happened.includes('restore'))
  assert.is(pair.open.size, 0)
  pair.close()
})

rule('closes all sockets after a round in vain, and when it ends', async () => {
  const pair = newSprayerPair({ isDeaf: true })
  await pair.run(OPEN_MS)
  assert.is(pair.open.size, SPRAY_SOCKETS)
  await pair.run(10_000)
  assert.is(pair.open.size, 0)
  assert.ok(pair.happened.includes('hard info path.spray-failed'))
  const ended = newSprayerPair({ isDeaf: true })
  await ended.run(OPEN_MS)
  ended.close()
  assert.is(ended.open.size, 0)
  await ended.run(60_000)
  assert.is(ended.open.size, 0)
})

rule(
  'drops at each of its 256 sockets what is not authentic, or another’s, without an answer',
  async () => {
    const pair = newSprayerPair({ isDeaf: true })
    const { hard, easy, clock } = pair
    const stranger = newMember()
    stranger.checks.setPeers(new Map([[hard.device, hard.keys.publicKey]]))
    const impostor = newMember()
    impostor.checks.setPeers(new Map([[hard.device, easy.keys.publicKey]]))
    await pair.run(OPEN_MS)
    const nowMs = clock.monotonicMs()
    const check = (from: typeof easy): Uint8Array => {
      const made = from.checks.spray(hard.device, TARGET, nowMs)
      assert.ok(made !== undefined)
      return made
    }
    const forged = check(easy)
    forged[forged.length - 20] = (forged[forged.length - 20] ?? 0) ^ 1
    const plain = encodeStun({ kind: 'request', transactionId: new Uint8Array(12).fill(7) })
    const wrong = [
      forged,
      plain,
      check(stranger),
      check(impostor),
      new Uint8Array(3),
      forged.slice(0, 40),
    ]
    const before = pair.sent.length
    for (let socket = 0; socket < SPRAY_SOCKETS; socket++)
      for (const datagram of wrong) pair.arrive(socket, datagram, TARGET)
    // Authentic, and not from where the mappings lead: repeated by somebody else.
    pair.arrive(9, check(easy), parseEndpoint('192.0.2.66:51820'))
    assert.is(pair.sent.length, before)
    assert.not.ok(pair.happened.some((line) => line.startsWith('divert')))
    assert.is(pair.open.size, SPRAY_SOCKETS)
    pair.arrive(9, check(easy), TARGET)
    await pair.run(100)
    assert.ok(pair.happened.includes('divert to 30009'))
    pair.close()
  },
)

rule.run()
