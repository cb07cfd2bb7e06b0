import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Hook, Hooked } from '../../../agent/names/hook.ts'
import { Hooking } from '../../../agent/names/hooking.ts'
import { parseIpAddress } from '../../../protocol/address.ts'
import type { DomainName } from '../../../protocol/domain-name.ts'

const own = {
  name: 'laptop.acme.nexodus' as DomainName,
  addresses: [parseIpAddress('100.64.0.1')],
}
const WANTED: Hooked = {
  server: undefined,
  search: 'acme.nexodus' as DomainName,
  isSearched: true,
  domains: [],
  lines: [],
  own,
}

interface Behaviour {
  obstacle?: string
  fails?: boolean
  /** Applied, yet programs do not find the name. */
  isDeaf?: boolean
  removeFails?: boolean
}

/** A host with three ways, of which some do not work. */
function host(behaviours: Record<string, Behaviour>) {
  const done: string[] = []
  const events: string[] = []
  const active = new Set<string>()
  const hooks = Object.entries(behaviours).map(([kind, how]): Hook => {
    return {
      kind: kind as Hook['kind'],
      obstacle: async () => how.obstacle,
      apply: async () => {
        done.push(`${kind} apply`)
        if (how.fails === true) throw new Error(`${kind} is broken`)
        active.add(kind)
      },
      remove: async () => {
        done.push(`${kind} remove`)
        active.delete(kind)
        if (how.removeFails === true) throw new Error(`${kind} stays`)
      },
    }
  })
  const hooking = new Hooking({
    hooks,
    lookUp: async () => {
      const isFound = [...active].some((kind) => behaviours[kind]?.isDeaf !== true)
      return isFound ? ['100.64.0.1'] : ['192.0.2.1']
    },
    clock: { sleep: async () => {} },
    log: (level, event, fields) => void events.push(`${level} ${event} ${JSON.stringify(fields)}`),
  })
  return { hooking, done, events, active, behaviours }
}

const rule = suite('hooking names into a host')

rule('takes the first way that there is', async () => {
  const { hooking, done } = host({ 'systemd-resolved': {}, hosts: {} })
  await hooking.follow(WANTED)
  assert.equal(hooking.status, { kind: 'systemd-resolved', obstacles: [] })
  assert.equal(done, ['systemd-resolved apply'])
})

rule('takes back what did not help, and tries the next; why is told', async () => {
  const { hooking, active, events } = host({
    'systemd-resolved': { isDeaf: true },
    resolvconf: { fails: true },
    hosts: {},
  })
  await hooking.follow(WANTED)
  assert.equal([...active], ['hosts'])
  assert.is(hooking.status.kind, 'hosts')
  assert.match(
    hooking.status.obstacles.join('\n'),
    /^systemd-resolved: .* do not find laptop\.acme\.nexodus by it\nresolvconf: resolvconf is broken$/,
  )
  assert.is(events.length, 1)
  assert.match(events[0] ?? '', /info names\.hooked .*"by":"hosts"/)
})

rule(
  'leaves a host alone where no way leads, says so once, and looks again with each change',
  async () => {
    const { hooking, active, events, behaviours } = host({
      'systemd-resolved': { obstacle: 'it does not run here' },
      hosts: { obstacle: 'read only' },
    })
    await hooking.follow(WANTED)
    await hooking.follow(WANTED)
    assert.is(hooking.status.kind, 'none')
    assert.equal([...active], [])
    assert.is(events.length, 1)
    assert.match(events[0] ?? '', /warn names\.hooked .*"by":"nothing"/)
    delete behaviours['hosts']?.obstacle
    await hooking.follow(WANTED)
    assert.is(hooking.status.kind, 'hosts')
  },
)

rule('changes to another way when the one in use breaks', async () => {
  const broken = host({ 'systemd-resolved': {}, hosts: {} })
  await broken.hooking.follow(WANTED)
  const how = broken.behaviours['systemd-resolved'] ?? {}
  how.fails = true
  await broken.hooking.follow(WANTED)
  assert.is(broken.hooking.status.kind, 'hosts')
  assert.equal([...broken.active], ['hosts'])
  assert.match(broken.events.join('\n'), /warn names\.hook-failed/)
})

rule('takes all back where nothing is wanted, and goes on where something cannot be', async () => {
  const { hooking, done, active, events } = host({
    'systemd-resolved': { removeFails: true },
    hosts: {},
  })
  await hooking.follow(WANTED)
  done.length = 0
  await hooking.follow(undefined)
  assert.equal(done, ['systemd-resolved remove', 'hosts remove'])
  assert.equal([...active], [])
  assert.match(events.at(-1) ?? '', /warn names\.unhook-failed .*stays/)
  await hooking.follow(WANTED)
  assert.equal([...active], ['systemd-resolved'])
})

rule.run()
