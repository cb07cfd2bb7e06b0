import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { OwnPunches } from '../../agent/own-punches.ts'
import { parseIpAddress } from '../../protocol/address.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import type { Punch } from '../../protocol/punch.ts'
import { VirtualClock } from '../../simulations/world/virtual-clock.ts'

const PHONE = 'phone' as DeviceId
const rule = suite('own punches (SPEC §7.3)')

rule('are each newer than the last, also in one millisecond and when the clock steps back', () => {
  const said: Punch[] = []
  const virtual = new VirtualClock()
  let nowMs = 1000
  const clock = { ...virtual, nowMs: () => nowMs } as VirtualClock
  const mesh = { sendPunch: async (_to: DeviceId, punch: Punch) => said.push(punch) > 0 }
  const punches = new OwnPunches(
    () => mesh,
    clock,
    () => undefined,
  )
  const spray = { step: 'ask', address: parseIpAddress('198.51.100.1') } as const
  punches.send(PHONE, [])
  punches.send(PHONE, [], spray)
  nowMs = 500
  punches.send(PHONE, [])
  nowMs = 2000
  punches.send(PHONE, [])
  assert.equal(
    said.map(({ sequence }) => sequence),
    [1000, 1001, 1002, 2000],
  )
  assert.equal(
    said.map((punch) => punch.spray),
    [undefined, spray, undefined, undefined],
  )
})

rule('that cannot be sent are told at debug, and none is sent without a mesh', async () => {
  const logged: string[] = []
  const mesh = { sendPunch: () => Promise.reject(new Error('no way')) }
  const log = (level: string, event: string) => void logged.push(`${level} ${event}`)
  new OwnPunches(() => undefined, new VirtualClock(), log).send(PHONE, [])
  new OwnPunches(() => mesh, new VirtualClock(), log).send(PHONE, [])
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(logged, ['debug punch.failed'])
})

rule.run()
