// time limit: 600 s
/** Twenty-four hours of two machines: at rest, talking, and on links that lose, delay and reorder. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { introduce, kinds, say, VirtualNet } from './virtual-net.ts'

const rule = suite('a day of WireGuard')
const DAY_MS = 24 * 3_600_000

rule('renews its session every two minutes while both talk, and loses nothing', () => {
  const net = new VirtualNet({ delayMs: [20, 20] })
  const [a, b] = [net.host(1), net.host(2)]
  introduce(a, b)
  let said = 0
  for (let atMs = 0; atMs < DAY_MS; atMs += 10_000) {
    net.at(atMs, () => {
      say(a, b)
      say(b, a)
      said += 1
    })
  }
  net.run(DAY_MS + 10_000)
  assert.equal([a.delivered.length, b.delivered.length], [said, said])
  const initiations = net.sent.filter(({ datagram }) => datagram[0] === 1)
  const gaps = initiations
    .slice(3)
    .map(({ atMs }, index) => atMs - (initiations[index + 2]?.atMs ?? 0))
  assert.ok(
    gaps.every((gap) => gap >= 120_000 && gap <= 130_100),
    String(Math.max(...gaps)),
  )
})

rule('sends nothing when nothing is to be said', () => {
  const net = new VirtualNet()
  const [a, b] = [net.host(1), net.host(2)]
  introduce(a, b)
  say(a, b)
  net.run(DAY_MS)
  assert.equal(kinds(net, 3), ['host 2 keepalive'])
})

for (const seed of [1, 2, 3]) {
  rule(`recovers from loss and reorder within 20 s of a good link (seed ${seed})`, () => {
    const options = { seed, delayMs: [5, 400], loss: 0.2 } as const
    const net = new VirtualNet(options)
    const [a, b] = [net.host(1), net.host(2)]
    introduce(a, b, { persistentKeepalive: 25 })
    let said = 0
    for (let atMs = 0; atMs < DAY_MS; atMs += 20_000) {
      net.at(atMs + net.random() * 20_000, () => {
        // A few hours of each day the link is down for minutes.
        if (net.random() < 0.01) {
          const backMs = net.nowMs + net.random() * 400_000
          net.isCut = () => net.nowMs < backMs
        }
        say(...(net.random() < 0.5 ? ([a, b] as const) : ([b, a] as const)))
        said += 1
      })
    }
    net.run(DAY_MS)
    const arrived = a.delivered.length + b.delivered.length
    assert.ok(arrived > said * 0.5 && arrived <= said, `${arrived} of ${said}`)
    const gaps = net.sent
      .filter(({ datagram, from }) => datagram[0] === 1 && from === a)
      .map(({ atMs }) => atMs)
    assert.ok(gaps.every((at, index) => at - (gaps[index - 1] ?? -5000) >= 5000))
    net.isCut = () => false
    const before = [a.delivered.length, b.delivered.length]
    for (let step = 0; step < 20; step += 1) {
      say(a, b)
      say(b, a)
      net.run(1000)
    }
    assert.ok(a.delivered.length > (before[0] ?? 0) && b.delivered.length > (before[1] ?? 0))
    assert.ok(a.machine.indicesInUse <= 4 && b.machine.indicesInUse <= 4)
  })
}

rule.run()
