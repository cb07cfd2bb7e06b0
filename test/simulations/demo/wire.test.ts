import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { datagramsOf, readWire, tapped, wireOf } from '../../../simulations/demo/wire.ts'
import { tempDir } from '../../support/temp-dir.ts'

const rule = suite('the wire of the demonstration')

function framed(...datagrams: readonly Buffer[]): Buffer {
  return Buffer.concat(
    datagrams.flatMap((each) => {
      const length = Buffer.alloc(2)
      length.writeUInt16BE(each.length)
      return [length, each]
    }),
  )
}

function wireguard(type: number, bytes = 32): Buffer {
  const datagram = Buffer.alloc(bytes)
  datagram[0] = type
  return datagram
}

rule('tells data from handshakes, and both from everything else', () => {
  const reserved = wireguard(4)
  reserved[2] = 1
  const others = [wireguard(0), wireguard(5), reserved, wireguard(4, 31), Buffer.alloc(0)]
  const datagrams = [wireguard(4), wireguard(1, 148), wireguard(2, 92), wireguard(3, 64), ...others]
  assert.equal(wireOf(datagrams, []), { data: 1, handshakes: 3, others: 5, readable: 0 })
})

rule('finds a text in whatever carries it', () => {
  const hidden = Buffer.concat([wireguard(4), Buffer.from('before Hello after')])
  const wire = wireOf([hidden, Buffer.from('GET / and Hello'), wireguard(4)], ['Hello', 'GET /'])
  assert.equal(wire, { data: 2, handshakes: 0, others: 1, readable: 2 })
})

rule('leaves out a datagram that is not written in full', () => {
  const bytes = framed(Buffer.from('one'), Buffer.from('three'))
  assert.equal(datagramsOf(bytes).map(String), ['one', 'three'])
  for (const short of [1, 2, 5, 6]) {
    assert.equal(datagramsOf(bytes.subarray(0, -short)).map(String), ['one'])
  }
  assert.equal(datagramsOf(bytes.subarray(0, 1)), [])
})

rule('reads what was sent after a moment', async () => {
  await using folder = await tempDir()
  const path = join(folder.path, 'sent')
  await writeFile(path, framed(wireguard(1, 148), Buffer.from('Hello')))
  const from = await tapped(path)
  await writeFile(path, framed(wireguard(4)), { flag: 'a' })
  assert.equal(await readWire(path, from, ['Hello']), {
    ...{ data: 1, handshakes: 0 },
    ...{ others: 0, readable: 0 },
  })
})

rule.run()
