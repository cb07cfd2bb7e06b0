/** Port mappings as a whole, with a gateway of our own: what is told, and how they end. */
// time limit: 120 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Commands } from '../../../../agent/host/run.ts'
import {
  type PortMappings,
  startPortMappings,
} from '../../../../agent/path/port-mapping/port-mapping.ts'
import { systemClock } from '../../../../agent/system-clock.ts'
import { generateAgreementKeyPair } from '../../../../crypto/agreement.ts'
import { randomBytes } from '../../../../crypto/random.ts'
import { formatEndpoint } from '../../../../protocol/address.ts'
import { loopback, mapper, startFakeGateway } from './fake-gateway.ts'

/** A routing table with a default route of IPv4 by `gateway`; undefined: none. */
function routes(table: { gateway: string | undefined }): Commands {
  return {
    run: (_command, args) => {
      const isShown = args.includes('show')
      if (table.gateway === undefined || args.includes('-6')) return Promise.resolve('[]')
      const route = { dst: 'default', gateway: table.gateway, dev: 'eth0' }
      return Promise.resolve(JSON.stringify([isShown ? route : { prefsrc: loopback(10) }]))
    },
    require: () => Promise.resolve(),
    start: () => {
      throw new Error('nothing lasts')
    },
  }
}

interface Started {
  readonly mappings: PortMappings
  readonly events: string[]
  /** Resolves when what is external is that. */
  until(external: string): Promise<void>
}

function start(table: { gateway: string | undefined }): Started {
  const events: string[] = []
  const listeners = new Set<() => void>()
  const mappings = startPortMappings({
    listenPort: 51820,
    tunnelInterface: 'nexodus0',
    wireguardKey: generateAgreementKeyPair(),
    commands: routes(table),
    clock: systemClock,
    random: randomBytes,
    log: (_level, event, fields) => {
      events.push(`${event} ${JSON.stringify(fields ?? {})}`)
      for (const look of listeners) look()
    },
  })
  const external = (): string => mappings.external().map(formatEndpoint).join(' ')
  return {
    mappings,
    events,
    until: (wanted) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (external() === wanted) resolve()
        }
        mappings.onChange(look)
        look()
      }),
  }
}

const rule = suite('port mappings')

rule('are told with protocol, gateway, end and endpoint; removed in the end', async () => {
  await using gateway = await startFakeGateway({ port5351: mapper({}, undefined) })
  const { mappings, until, events } = start({ gateway: gateway.address })
  await until('198.20.9.9:40000')
  const [ipv4, ipv6] = mappings.status()
  const { expires = 0, ...rest } = ipv4 ?? { reason: '' }
  assert.equal(rest, {
    family: 4,
    gateway: gateway.address,
    protocol: 'pcp',
    external: { address: '198.20.9.9', port: 40_000 },
    reason: '',
  })
  assert.ok(expires > systemClock.now() && expires <= systemClock.now() + 600)
  assert.equal(ipv6, { family: 6, reason: 'no default route' })
  assert.is(events.length, 1)
  await mappings[Symbol.asyncDispose]()
  assert.is(gateway.requests.at(-1)?.[0], 2)
  assert.is(gateway.requests.at(-1)?.[7], 0, 'a lifetime of 0')
})

rule('go with the default route to another gateway, and none is asked without one', async () => {
  await using first = await startFakeGateway({ port5351: mapper({}, undefined) })
  await using second = await startFakeGateway({ port5351: mapper({ port: 7 }, undefined) }, 2)
  const table: { gateway: string | undefined } = { gateway: undefined }
  const { mappings, until, events } = start(table)
  table.gateway = first.address
  mappings.networkChanged()
  await until('198.20.9.9:40000')
  table.gateway = second.address
  mappings.networkChanged()
  await until('')
  assert.match(events.at(-1) ?? '', 'port-mapping.lost')
  await until('198.20.9.9:7')
  table.gateway = undefined
  mappings.networkChanged()
  await mappings[Symbol.asyncDispose]()
  assert.ok(second.requests.every((request) => request[7] !== 0))
})

rule('end although the gateway has gone', async () => {
  const gateway = await startFakeGateway({ port5351: mapper({}, undefined) })
  const { mappings, until } = start({ gateway: gateway.address })
  await until('198.20.9.9:40000')
  await gateway[Symbol.asyncDispose]()
  await mappings[Symbol.asyncDispose]()
})

rule('that are ended at once, or while the gateway is asked, end', async () => {
  await using gateway = await startFakeGateway({})
  const early = start({ gateway: gateway.address })
  await early.mappings[Symbol.asyncDispose]()
  assert.is(gateway.requests.length, 0)
  const { mappings } = start({ gateway: gateway.address })
  while (gateway.requests.length === 0) await systemClock.sleep(20)
  await mappings[Symbol.asyncDispose]()
  const asked = gateway.requests.length
  await systemClock.sleep(500)
  assert.is(gateway.requests.length, asked)
})

rule.run()
