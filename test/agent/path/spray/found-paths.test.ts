import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FoundPaths } from '../../../../agent/path/spray/found-paths.ts'
import type { SpraySocket } from '../../../../agent/path/spray/sockets.ts'
import { Traffic } from '../../../../agent/path/spray/traffic.ts'
import type { DeviceId } from '../../../../protocol/keys.ts'
import { TARGET } from './spray-world.ts'

const PHONE = 'phone' as DeviceId

interface Found {
  readonly paths: FoundPaths
  readonly happened: string[]
  readonly socket: SpraySocket
}

/** @param divert what the host does; at once and well unless it is given */
function newFound(divert: () => Promise<void> = async () => undefined): Found {
  const happened: string[] = []
  const host = {
    divert: async (_remote: unknown, { port }: SpraySocket) => {
      happened.push(`divert ${port}`)
      await divert()
    },
    restore: async () => {
      happened.push('restore')
      throw new Error('no table')
    },
  }
  const log = (level: string, event: string) => void happened.push(`${level} ${event}`)
  const socket = {
    port: 40_000,
    onDatagram: () => undefined,
    send: () => undefined,
    close: () => void happened.push('close'),
  }
  return { paths: new FoundPaths(host, log), happened, socket }
}

const rule = suite('found paths (SPEC §10.8)')

rule('keep their socket until they are released, also where the host then fails', async () => {
  const { paths, happened, socket } = newFound()
  assert.is(await paths.hold(PHONE, TARGET, socket), true)
  assert.equal(happened, ['divert 40000'])
  await paths.release(PHONE, TARGET)
  await paths.release(PHONE, TARGET)
  assert.equal(happened.slice(1), ['restore', 'warn path.not-restored', 'close'])
})

rule('are none where the host does not divert', async () => {
  const { paths, happened, socket } = newFound(() => Promise.reject(new Error('no table')))
  const error = await paths.hold(PHONE, TARGET, socket).catch((cause: unknown) => cause)
  assert.instance(error, Error)
  assert.equal(happened, ['divert 40000', 'close'])
  await paths.release(PHONE, TARGET)
  assert.equal(happened, ['divert 40000', 'close'])
})

rule('that are released while the host diverts are not left diverted', async () => {
  const diverting = Promise.withResolvers<void>()
  const { paths, happened, socket } = newFound(() => diverting.promise)
  const held = paths.hold(PHONE, TARGET, socket)
  await paths.release(PHONE, TARGET)
  happened.splice(0)
  diverting.resolve()
  assert.is(await held, false)
  assert.is(happened[0], 'restore')
})

rule('close their sockets when all ends, and touch nothing afterwards', async () => {
  const diverting = Promise.withResolvers<void>()
  const { paths, happened, socket } = newFound(() => diverting.promise)
  const held = paths.hold(PHONE, TARGET, socket)
  paths.close()
  diverting.resolve()
  assert.is(await held, false)
  assert.equal(happened, ['divert 40000', 'close'])
})

rule('are sought while packets of users pass, which keepalives are not', () => {
  const traffic = new Traffic()
  traffic.counted(PHONE, { received: 5000, sent: 5000 }, 1000)
  assert.is(traffic.packetsMs(PHONE), -Infinity)
  traffic.counted(PHONE, { received: 5032, sent: 5032 }, 2000)
  assert.is(traffic.packetsMs(PHONE), -Infinity)
  traffic.counted(PHONE, { received: 5032, sent: 5160 }, 3000)
  assert.is(traffic.packetsMs(PHONE), 3000)
  // WireGuard's peer was made anew.
  traffic.counted(PHONE, { received: 0, sent: 0 }, 4000)
  assert.is(traffic.packetsMs(PHONE), 3000)
  traffic.keep(() => false)
  assert.is(traffic.packetsMs(PHONE), -Infinity)
})

rule.run()
