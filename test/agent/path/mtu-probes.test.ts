import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { newMtuProbes } from '../../../agent/path/mtu-probes.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import { generateSigningKeyPair } from '../../../crypto/signing.ts'
import { type Endpoint, type IpAddress, parseEndpoint } from '../../../protocol/address.ts'
import { type DeviceId, deviceIdOf } from '../../../protocol/keys.ts'
import { until } from '../../../simulations/lab/scene.ts'

const rule = suite('MTU probes')
const device = (): DeviceId => deviceIdOf(generateSigningKeyPair<'device'>().publicKey)
const [ANA, BO] = [device(), device()]
const [AT_ANA, AT_BO] = ['198.51.100.1:51820', '[2001:db8::2]:51820'].map(parseEndpoint) as [
  Endpoint,
  Endpoint,
]

interface Sent {
  readonly device: DeviceId
  readonly to: Endpoint
  readonly bytes: number
}

/** @param routes what the kernel knows; an error: it can't be asked */
function start(routes: ReadonlyMap<IpAddress, number> | Error) {
  const sent: Sent[] = []
  const asked: (readonly IpAddress[])[] = []
  const logged: string[] = []
  let changes = 0
  const probes = newMtuProbes({
    ofInterface: () => 1420,
    readRouteMtus: (addresses) => {
      asked.push(addresses)
      return routes instanceof Error ? Promise.reject(routes) : Promise.resolve(routes)
    },
    onChange: () => {
      changes += 1
    },
    clock: systemClock,
    log: (_level, event, fields) => logged.push(`${event} ${JSON.stringify(fields)}`),
    send: (to, endpoint, bytes) => sent.push({ device: to, to: endpoint, bytes }),
  })
  const direct = (to: DeviceId, endpoint: Endpoint): void =>
    probes.path(to, { kind: 'direct', endpoint, roundTripMs: 1000 }, 'peer')
  return { probes, sent, asked, logged, direct, changes: () => changes }
}

const arrives = (what: string, isSo: () => boolean): Promise<number> =>
  until(what, 10_000, () => Promise.resolve(isSo()))

rule(
  'ask the kernel once for all peers, and make the datagram as long as WireGuard’s',
  async () => {
    const routes = new Map([
      [AT_ANA.address, 1400],
      [AT_BO.address, 1400],
    ])
    const { probes, sent, asked, direct, changes, logged } = start(routes)
    direct(ANA, AT_ANA)
    direct(BO, AT_BO)
    await arrives('two probes', () => sent.length === 2)
    assert.equal(asked, [[AT_ANA.address, AT_BO.address]])
    assert.equal(sent, [
      { device: ANA, to: AT_ANA, bytes: 1328 + 32 },
      { device: BO, to: AT_BO, bytes: 1312 + 32 },
    ])
    assert.equal([probes.mtu(ANA), probes.mtu(BO), probes.mtu(device())], [1328, 1312, 1420])
    assert.is(changes(), 2)
    assert.match(logged[0] ?? '', /peer\.mtu-changed .*"mtu":1328,"before":1420/)
    probes.close()
  },
)

rule('believe no answer from elsewhere, nor for a peer that was forgotten', async () => {
  const { probes, sent, direct } = start(new Map([[AT_ANA.address, 1500]]))
  direct(ANA, AT_ANA)
  await arrives('a probe', () => sent.length === 1)
  probes.answered(ANA, AT_BO, 1452, 5)
  probes.answered(ANA, AT_BO, 0, 5)
  await arrives('it is sent again, with a check beside it', () => sent.length >= 3)
  assert.is(sent[2]?.bytes, 0)
  probes.forget(ANA)
  probes.answered(ANA, AT_ANA, 1452, 5)
  assert.is(probes.mtu(ANA), 1420)
  probes.close()
})

rule('go on where the kernel can’t be asked', async () => {
  const { probes, sent, direct, logged } = start(new Error('no ip'))
  direct(ANA, AT_ANA)
  await arrives('a probe', () => sent.length === 1)
  assert.is(sent[0]?.bytes, 1420 + 32)
  assert.match(logged.join(), /path\.mtu-unknown .*no ip/)
  probes.close()
})

rule('give the usual size again when the path is no more direct', async () => {
  const { probes, direct } = start(new Map([[AT_ANA.address, 1400]]))
  direct(ANA, AT_ANA)
  await arrives('the size', () => probes.mtu(ANA) === 1328)
  probes.path(ANA, { kind: 'relay', roundTripMs: 80 }, 'peer')
  assert.is(probes.mtu(ANA), 1420)
  direct(ANA, AT_ANA)
  assert.is(probes.mtu(ANA), 1328)
  probes.close()
})

rule.run()
