/** A round against a gateway of our own: which protocol wins, and what is left behind. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { askRound, renew, unmap } from '../../../../agent/path/port-mapping/round.ts'
import {
  type FakeGateway,
  loopback,
  mapper,
  natPmpAnswer,
  pcpAnswer,
  reasons,
  roundOf,
  startFakeGateway,
  summary,
  upnp,
} from './fake-gateway.ts'

/** PCP and NAT-PMP requests by their first two bytes, and the lifetime of a PCP one. */
function words({ requests }: FakeGateway): readonly string[] {
  return requests.map((request) => {
    if (request[0] === 2) return view(request).getUint32(4) === 0 ? 'pcp delete' : 'pcp map'
    return request[1] === 0 ? 'nat-pmp address' : 'nat-pmp map'
  })
}

function view(bytes: Uint8Array = new Uint8Array(44)): DataView {
  return new DataView(bytes.buffer)
}

const rule = suite('a round')

rule('a gateway that speaks all three is left with one mapping, by PCP', async () => {
  await using gateway = await startFakeGateway({ port5351: mapper({}, {}), ...upnp() })
  assert.is(summary(await roundOf(gateway)), 'pcp 198.20.9.9:40000 600')
  assert.equal(new Set(words(gateway)), new Set(['pcp map', 'nat-pmp address']))
  assert.not(gateway.http.some((line) => line.includes('AddPortMapping')))
})

rule('NAT-PMP maps where PCP is refused or of another version', async () => {
  for (const pcp of ['silent', 'refused', 'version'] as const) {
    await using gateway = await startFakeGateway({
      port5351: (request, reply) => {
        if (request[0] !== 2) reply(natPmpAnswer(request))
        else if (pcp === 'refused') reply(pcpAnswer(request, { result: 2 }))
        else if (pcp === 'version') reply(Uint8Array.of(0, 0x81, 0, 1, 0, 0, 0, 9))
      },
    })
    assert.is(summary(await roundOf(gateway)), 'nat-pmp 198.20.9.9:40001 600', pcp)
  }
})

rule('UPnP maps where nothing else answers', async () => {
  await using gateway = await startFakeGateway(upnp())
  const round = await roundOf(gateway)
  assert.is(summary(round), 'upnp 198.20.9.9:51820 1200')
  assert.equal(gateway.http, [
    'GET /desc.xml',
    'POST /ctl GetExternalIPAddress',
    'POST /ctl AddPortMapping',
  ])
})

rule('a mapping that comes after another is removed at the gateway', async () => {
  const waiting: (() => void)[] = []
  await using gateway = await startFakeGateway({
    port5351: (request, reply) => {
      if (request[0] === 2) waiting.push(() => reply(pcpAnswer(request)))
      else reply(natPmpAnswer(request))
      // PCP answers once NAT-PMP has mapped.
      if (request[0] === 0 && request[1] === 1) for (const late of waiting) setTimeout(late, 20)
      if (request[0] === 2 && request[7] === 0) waiting.at(-1)?.()
    },
  })
  assert.is(summary(await roundOf(gateway)), 'nat-pmp 198.20.9.9:40001 600')
  assert.is(words(gateway).at(-1), 'pcp delete')
})

rule('renewals ask for the same external port, and removals name it', async () => {
  await using gateway = await startFakeGateway({ port5351: mapper({}, {}) })
  const round = await roundOf(gateway)
  assert.ok(round.kind === 'mapped')
  assert.is(summary(await renew(gateway.ask(), round.mapping)), 'pcp 198.20.9.9:40000 600')
  await unmap(gateway.ask(), round.mapping)
  const [renewal, removal] = gateway.requests.filter(([first]) => first === 2).slice(-2)
  assert.is(view(renewal).getUint16(42), 40_000)
  assert.is(view(removal).getUint32(4), 0)
})

rule('nobody there: no answer is told, after twelve packets at most', async () => {
  await using gateway = await startFakeGateway({})
  assert.is(summary(await roundOf(gateway)), 'pcp silent, nat-pmp silent, upnp silent')
  assert.ok(gateway.requests.length <= 6, `${gateway.requests.length} to port 5351`)
  assert.ok(gateway.searches.length <= 3, `${gateway.searches.length} searches`)
  gateway.requests.length = 0
  gateway.searches.length = 0
  const light = askRound(gateway.ask({ waitsMs: [300] }))
  await light.settled
  assert.equal([gateway.requests.length, gateway.searches.length], [2, 1])
})

rule('a port that nothing listens on is given up at the first packet', async () => {
  await using gateway = await startFakeGateway({})
  const nobody = { ...gateway.ask().gateway, address: loopback(99) }
  const { result } = askRound(gateway.ask({ gateway: nobody }), ['pcp', 'nat-pmp'])
  assert.is(reasons(await result), 'nothing listens there; nothing listens there')
})

rule('ends at once when its signal is aborted', async () => {
  await using gateway = await startFakeGateway({ port5351: () => undefined, ...upnp() })
  const stop = new AbortController()
  const { settled } = askRound(gateway.ask({ waitsMs: [600_000], signal: stop.signal }), ['pcp'])
  stop.abort()
  await settled
})

rule.run()
