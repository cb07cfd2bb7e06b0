import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Forwarder } from '../../../agent/names/forwarder.ts'
import { systemClock as clock } from '../../../agent/system-clock.ts'
import { randomBytes } from '../../../crypto/random.ts'
import { type Endpoint, parseIpAddress } from '../../../protocol/address.ts'
import { forward } from '../../../protocol/organization-names.ts'
import { type Asked, answerText, query } from './question.ts'
import { type Change, upstream } from './upstream-resolver.ts'

const address = parseIpAddress('127.0.0.1')

function forwarder(isReachable = (_: string): boolean => true): Forwarder {
  return new Forwarder({ isReachable, clock, random: randomBytes })
}

async function ask(
  by: Forwarder,
  resolvers: readonly Endpoint[],
  name = 'db.corp.example',
  asked: Asked = {},
): Promise<string> {
  const to = { domain: forward('corp.example', ['10.0.0.1:53']).domain, resolvers }
  const answer = await by.ask(query(name, asked), to, 'udp')
  return answer === undefined ? 'nothing' : answerText(answer)
}

const rule = suite('forwarding to resolvers of the organization')

rule('passes on what the resolver says, with capitals at random on the way only', async () => {
  await using server = await upstream()
  const by = forwarder()
  const name = 'a-long-name-of-many-letters.corp.example'
  assert.is(await ask(by, [server.at], name), 'NOERROR A 10.9.8.1')
  assert.is(server.names[0]?.toLowerCase(), name)
  assert.is.not(server.names[0], name)
})

rule(
  'keeps answers as long as they say, lifetimes growing shorter, and asks again after that',
  async () => {
    await using server = await upstream({ ttl: 1 })
    const by = forwarder()
    for (let time = 0; time < 3; time++) await ask(by, [server.at])
    assert.equal(server.asked, ['udp'])
    await clock.sleep(1100)
    await ask(by, [server.at])
    assert.equal(server.asked, ['udp', 'udp'])
    by.forget()
    await ask(by, [server.at])
    assert.is(server.asked.length, 3)
  },
)

rule('asks by TCP where the answer is cut, or comes without its capitals', async () => {
  const cut: Change = (answer) => {
    answer.writeUInt16BE(answer.readUInt16BE(2) | 0x0200, 2)
    return [answer]
  }
  const lower: Change = (answer) => [
    Buffer.concat([
      answer.subarray(0, 12),
      Buffer.from(answer.subarray(12).toString('latin1').toLowerCase(), 'latin1'),
    ]),
  ]
  for (const udp of [cut, lower]) {
    await using server = await upstream({ udp })
    assert.is(await ask(forwarder(), [server.at]), 'NOERROR A 10.9.8.1')
    assert.equal(server.asked, ['udp', 'tcp'])
  }
})

rule('cuts an answer that the asker cannot take by UDP', async () => {
  await using server = await upstream({ records: 40 })
  assert.is(await ask(forwarder(), [server.at]), 'tc NOERROR')
})

rule('believes nobody who guesses: another id, another question, another place', async () => {
  const forged: Change = (answer) => {
    const id = Buffer.from(answer)
    id.writeUInt16BE(id.readUInt16BE(0) ^ 1, 0)
    const name = Buffer.from(answer)
    name[13] = 0x7a
    const type = Buffer.from(answer)
    type[answer.indexOf(0, 13) + 2] = 28
    const asked = Buffer.from(answer)
    asked.writeUInt16BE(0x0100, 2)
    return [id, name, type, asked, answer.subarray(0, 20), Buffer.alloc(0), answer]
  }
  await using server = await upstream({ udp: forged })
  assert.is(await ask(forwarder(), [server.at]), 'NOERROR A 10.9.8.1')
  await using other = await upstream({ udp: (answer) => forged(answer, answer).slice(0, -1) })
  assert.is(await ask(forwarder(), [other.at]), 'nothing')
  assert.not(other.asked.includes('tcp'))
})

rule(
  'takes the next resolver where one says nothing, cannot, or is not there, and avoids it for a while',
  async () => {
    await using silent = await upstream({ udp: () => [] })
    await using failing = await upstream({ rcode: 2 })
    await using good = await upstream()
    const gone = { address, port: 1 }
    const by = forwarder()
    assert.is(await ask(by, [gone, failing.at, silent.at, good.at]), 'NOERROR A 10.9.8.1')
    assert.is(silent.asked.length, 1)
    assert.is(await ask(by, [gone, silent.at, good.at], 'other.corp.example'), 'NOERROR A 10.9.8.1')
    assert.is(silent.asked.length, 1)
    assert.is(await ask(by, [failing.at], 'third.corp.example'), 'SERVFAIL')
  },
)

rule('passes on that there is no such name', async () => {
  await using server = await upstream({ rcode: 3 })
  assert.is(await ask(forwarder(), [server.at]), 'NXDOMAIN')
})

rule('asks nobody outside of the mesh', async () => {
  await using server = await upstream()
  assert.is(
    await ask(
      forwarder(() => false),
      [server.at],
    ),
    'nothing',
  )
  assert.equal(server.asked, [])
})

rule('asks a question once, however many wait for its answer: so a loop ends', async () => {
  await using server = await upstream()
  const by = forwarder()
  const all = await Promise.all(Array.from({ length: 50 }, () => ask(by, [server.at])))
  assert.equal(new Set(all), new Set(['NOERROR A 10.9.8.1']))
  assert.equal(server.asked, ['udp'])
  // A resolver that asks us again what we have just asked it.
  let loops = 0
  const looping: Forwarder = forwarder()
  const at: Endpoint[] = []
  await using loop = await upstream({
    udp: () => {
      loops += 1
      void ask(looping, at)
      return []
    },
  })
  at.push(loop.at)
  assert.is(await ask(looping, at), 'nothing')
  assert.ok(loops <= 2, `${loops}`)
})

rule('has so many questions on their way, and no more', async () => {
  await using silent = await upstream({ udp: () => [] })
  const by = forwarder()
  const asking = Array.from({ length: 300 }, (_, index) =>
    ask(by, [silent.at], `n${index}.corp.example`),
  )
  assert.is(await Promise.race(asking), 'nothing')
  await Promise.all(asking)
  assert.ok(silent.asked.length <= 512, `${silent.asked.length}`)
})

rule.run()
