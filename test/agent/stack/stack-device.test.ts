import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { newStackDevice } from '../../../agent/stack/stack-device.ts'
import { hostPrefix } from '../../../protocol/address.ts'
import { FAR, NEAR } from '../../../simulations/world/stack-pair.ts'
import { VirtualClock } from '../../../simulations/world/virtual-clock.ts'

const rule = suite('the stack as the end of a tunnel')

rule('has the addresses and the MTU that the tunnel gives it, and hands it packets', async () => {
  const clock = new VirtualClock()
  const options = { clock, random: (length: number) => new Uint8Array(length), log: () => {} }
  const [near, far] = [newStackDevice(options), newStackDevice(options)]
  const refused = await near.stack.ping(FAR[4]).catch((error: Error) => error.message)
  assert.match(String(refused), /EADDRNOTAVAIL/)
  near.device.configure({ addresses: [hostPrefix(NEAR[4])], mtu: 1300 })
  far.device.configure({ addresses: [hostPrefix(FAR[4])], mtu: 1420 })
  let largest = 0
  near.device.onPacket = (packet) => {
    largest = Math.max(largest, packet.length)
    clock.after(1, () => far.device.write(packet))
  }
  far.device.onPacket = (packet) => void clock.after(1, () => near.device.write(packet))
  const socket = near.stack.bindUdp(0, () => {})
  far.stack.bindUdp(53, () => {})
  socket.send(new Uint8Array(3000), { address: FAR[4], port: 53 })
  assert.ok(largest > 1200 && largest <= 1300)
  let roundTripMs = 0
  void near.stack.ping(FAR[4]).then((ms) => {
    roundTripMs = ms
  })
  await clock.advance(10)
  assert.is(roundTripMs, 2)
  near.stack[Symbol.dispose]()
  far.stack[Symbol.dispose]()
})

rule.run()
