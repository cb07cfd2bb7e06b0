/** UPnP's client against a gateway of our own: ports that are taken, leases, refusals. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { unmap } from '../../../../agent/path/port-mapping/round.ts'
import {
  IP_1,
  reasons,
  roundOf,
  soapAnswer,
  soapFault,
  startFakeGateway,
  summary,
  upnp,
} from './fake-gateway.ts'

const ports = suite('UPnP')

ports('another external port is taken where others have ours, four at most', async () => {
  const tried: string[] = []
  const add = (isFree: (count: number) => boolean) => (body: string) => {
    tried.push(/<NewExternalPort>(\d+)</.exec(body)?.[1] ?? '')
    return isFree(tried.length) ? soapAnswer('AddPortMapping') : soapFault(718)
  }
  await using gateway = await startFakeGateway(upnp({ AddPortMapping: add((count) => count > 1) }))
  const round = await roundOf(gateway)
  assert.is(tried[0], '51820')
  assert.ok(Number(tried[1]) >= 49_152)
  assert.is(summary(round), `upnp 198.20.9.9:${tried[1]} 1200`)
  tried.length = 0
  await using full = await startFakeGateway(upnp({ AddPortMapping: add(() => false) }), 4)
  assert.match(reasons(await roundOf(full)), '4 external ports are taken')
  assert.is(tried.length, 4)
})

ports(
  'a gateway that knows permanent leases alone gives one, which is renewed all the same',
  async () => {
    const leases: string[] = []
    await using gateway = await startFakeGateway(
      upnp({
        AddPortMapping: (body) => {
          const lease = /<NewLeaseDuration>(\d+)</.exec(body)?.[1] ?? ''
          leases.push(lease)
          return lease === '0' ? soapAnswer('AddPortMapping') : soapFault(725)
        },
      }),
    )
    assert.is(summary(await roundOf(gateway)), 'upnp 198.20.9.9:51820 1200')
    assert.equal(leases, ['1200', '0'])
  },
)

ports('refusals and nonsense are told with the action', async () => {
  for (const [answer, part] of [
    [soapFault(606, 'Action not authorized'), 'AddPortMapping: Action not authorized (606)'],
    ['<html/>', 'no AddPortMappingResponse'],
    ['nonsense', 'no XML'],
  ] as const) {
    await using gateway = await startFakeGateway(upnp({ AddPortMapping: () => answer }))
    assert.match(reasons(await roundOf(gateway)), part)
  }
  for (const address of ['', '0.0.0.0', 'fe80::1%eth0', '1.2.3', 'x'.repeat(5000)]) {
    const inner = `<NewExternalIPAddress>${address}</NewExternalIPAddress>`
    await using gateway = await startFakeGateway(
      upnp({ GetExternalIPAddress: () => soapAnswer('GetExternalIPAddress', inner) }),
    )
    assert.match(summary(await roundOf(gateway)), 'upnp refused')
  }
})

ports('removal names the external port', async () => {
  const removed: string[] = []
  await using gateway = await startFakeGateway(
    upnp({
      DeletePortMapping: (body) => {
        removed.push(body)
        return soapAnswer('DeletePortMapping')
      },
    }),
  )
  const round = await roundOf(gateway)
  assert.ok(round.kind === 'mapped')
  assert.is(round.mapping.service?.type, IP_1)
  await unmap(gateway.ask(), round.mapping)
  assert.match(removed[0] ?? '', '<NewExternalPort>51820</NewExternalPort>')
})

ports.run()
