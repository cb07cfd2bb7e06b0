/** A failed assertion in the module ends its connections, not the daemon. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Engine, type EngineEvents } from '../../../agent/stack/engine.ts'
import { OwnAddresses } from '../../../agent/stack/own-addresses.ts'
import { TcpTable } from '../../../agent/stack/tcp-table.ts'
import { FAR, NEAR } from '../../../simulations/world/stack-pair.ts'
import { VirtualClock } from '../../../simulations/world/virtual-clock.ts'

const rule = suite('the engine of the stack')

rule(
  'begins anew when the module failed: connections are reset, ports stay listened on',
  async () => {
    const clock = new VirtualClock()
    const packets: Uint8Array[] = []
    const logged: string[] = []
    const events: EngineEvents = {
      output: (packet) => void packets.push(packet),
      accepts: () => false,
      listens: () => false,
      accepted: () => {},
      connected: () => {},
      received: () => {},
      ended: () => {},
      sent: () => {},
      failed: () => {},
      datagram: () => {},
      refused: () => {},
      echoed: () => {},
      restarted: () => table.restarted(),
    }
    const engine = new Engine(
      {
        mtu: 1420,
        clock,
        random: (length) => new Uint8Array(length),
        log: (_level, event) => void logged.push(event),
      },
      events,
    )
    const addresses = new OwnAddresses()
    addresses.set([NEAR[4]])
    const table = new TcpTable(engine, { addresses, clock, defer: (task) => clock.after(0, task) })
    const listener = table.listen(80, () => {})
    const codes: unknown[] = []
    const connection = table.connect({ address: FAR[4], port: 80 })
    connection.on('error', (error: NodeJS.ErrnoException) => codes.push(error.code))
    const closed = new Promise((resolve) => connection.on('close', resolve))
    const result = engine.run(() => {
      throw new WebAssembly.RuntimeError('unreachable')
    }, 'no result')
    await clock.advance(1)
    await closed
    assert.is(result, 'no result')
    assert.equal(logged, ['stack.failed'])
    assert.equal(codes, ['ECONNREFUSED'])
    assert.is(table.size, 0)
    assert.is(packets.length, 1)
    const again = table.connect({ address: FAR[4], port: 80 })
    again.on('error', () => {})
    await clock.advance(1)
    assert.is(packets.length, 2)
    assert.throws(() => table.listen(80, () => {}), /EADDRINUSE/)
    listener.close()
    table.listen(80, () => {})
    table.dispose()
    engine.dispose()
  },
)

rule('lets errors of ours through', () => {
  const none = () => {}
  const events = {
    output: none,
    accepts: () => false,
    listens: () => false,
    accepted: none,
    connected: none,
    received: none,
    ended: none,
    sent: none,
    failed: none,
    datagram: none,
    refused: none,
    echoed: none,
    restarted: none,
  }
  const engine = new Engine(
    { mtu: 1420, clock: new VirtualClock(), random: (length) => new Uint8Array(length), log: none },
    events,
  )
  assert.throws(
    () =>
      engine.run(() => {
        throw new Error('ours')
      }, undefined),
    /ours/,
  )
  engine.dispose()
})

rule.run()
