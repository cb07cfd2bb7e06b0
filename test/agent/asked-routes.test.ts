import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { advertiseAsked } from '../../agent/asked-routes.ts'
import { OwnStatements } from '../../agent/own-statements.ts'
import { systemClock } from '../../agent/system-clock.ts'
import { type Prefix, parsePrefix } from '../../protocol/address.ts'
import type { Envelope } from '../../protocol/envelope.ts'
import { apply } from '../../protocol/state.ts'
import { asker, startCore } from '../support/registry-core.ts'

const rule = suite('asked routes')

const asks = (...prefixes: string[]) => ({ prefixes: prefixes.map(parsePrefix), roles: [] })

async function scene() {
  const core = await startCore()
  const organization = await core.issuing.found('acme')
  const laptop = asker('laptop')
  await core.enrol(laptop, await core.key(organization))
  let state = core.hear(organization, await core.issuing.envelopes(organization))
  const said: [Prefix, string][] = []
  const learn = (envelope: Envelope) => {
    state = apply(state, envelope, core.clock.now()).state
  }
  const knowledge = { state: () => state, learn } as unknown as ConstructorParameters<
    typeof OwnStatements
  >[0]
  const clock = { ...systemClock, now: core.clock.now }
  const statements = new OwnStatements(knowledge, laptop.deviceKey, 'test', clock)
  const daemon = {
    device: laptop.id,
    options: { knowledge, clock },
    route(prefix: Prefix, wanted: 'active' | 'withdrawn') {
      said.push([prefix, wanted])
      return statements.route(prefix, wanted) !== undefined
    },
  } as unknown as Parameters<typeof advertiseAsked>[0]
  const grant = async (...prefixes: string[]) => {
    await core.devices.change(organization, laptop.id, { prefixes: prefixes.map(parsePrefix) })
    state = core.hear(organization, await core.issuing.envelopes(organization), state)
  }
  return { core, daemon, said, grant }
}

rule('are advertised once an admin has granted them, and not before', async () => {
  const { core, daemon, said, grant } = await scene()
  await using _ = core
  const wanted = asks('10.1.0.0/16', '10.9.0.0/16')
  advertiseAsked(daemon, wanted)
  assert.equal(said, [])
  await grant('10.1.0.0/16')
  advertiseAsked(daemon, wanted)
  advertiseAsked(daemon, wanted)
  assert.equal(said, [['10.1.0.0/16', 'active']])
})

rule('also where a wider prefix was granted', async () => {
  const { core, daemon, said, grant } = await scene()
  await using _ = core
  await grant('10.0.0.0/8')
  advertiseAsked(daemon, asks('10.1.0.0/16', '11.0.0.0/16'))
  assert.equal(said, [['10.1.0.0/16', 'active']])
})

rule('are left alone once the operator has withdrawn them', async () => {
  const { core, daemon, said, grant } = await scene()
  await using _ = core
  await grant('10.1.0.0/16')
  advertiseAsked(daemon, asks('10.1.0.0/16'))
  daemon.route(parsePrefix('10.1.0.0/16'), 'withdrawn')
  advertiseAsked(daemon, asks('10.1.0.0/16'))
  assert.equal(
    said.map(([, wanted]) => wanted),
    ['active', 'withdrawn'],
  )
})

rule.run()
