/** When a gateway is asked, and what is had: on a clock of numbers. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Gateway } from '../../../../agent/host/gateway.ts'
import { isStateLost } from '../../../../agent/path/port-mapping/epoch.ts'
import {
  INITIAL,
  type MapperInput,
  type MapperState,
  nextMs,
  SPACING_MS,
  step,
} from '../../../../agent/path/port-mapping/machine.ts'
import type { PortMapping } from '../../../../agent/path/port-mapping/mapping.ts'
import type { Round } from '../../../../agent/path/port-mapping/round.ts'
import { parseEndpoint, parseIpAddress } from '../../../../protocol/address.ts'
import { seconds } from '../../../../protocol/time.ts'

const HOME: Gateway = {
  address: parseIpAddress('192.168.1.1'),
  interfaceName: 'eth0',
  source: parseIpAddress('192.168.1.10'),
}
const CAFE: Gateway = { ...HOME, source: parseIpAddress('192.168.1.77') }
const MAPPING: PortMapping = {
  protocol: 'pcp',
  external: parseEndpoint('8.8.4.1:51820'),
  lifetime: seconds(1200),
  epoch: seconds(5000),
}
const SILENT: Round = {
  kind: 'failed',
  failures: [{ protocol: 'pcp', kind: 'silent', reason: 'no answer' }],
}
const REFUSED: Round = {
  kind: 'failed',
  failures: [{ protocol: 'pcp', kind: 'refused', reason: 'not authorized' }],
}

/** Gives inputs one after another, and keeps what was to be done, with its time. */
class Run {
  state: MapperState = INITIAL
  nowMs = 0
  readonly done: string[] = []

  give(input: MapperInput): this {
    const { state, actions } = step(this.state, input, this.nowMs)
    this.state = state
    for (const action of actions) {
      const word = action.kind === 'log' ? action.event : action.kind
      const isLight = action.kind === 'round' && !action.isThorough
      this.done.push(`${this.nowMs / 1000} ${word}${isLight ? ' light' : ''}`)
    }
    return this
  }

  gateway(gateway: Gateway | undefined): this {
    return this.give({ kind: 'gateway', gateway })
  }

  asked(round: Round | PortMapping): this {
    return this.give({
      kind: 'asked',
      round: 'kind' in round ? round : { kind: 'mapped', mapping: round },
    })
  }

  announced(epoch: number, address?: string): this {
    return this.give({
      kind: 'announced',
      protocol: address === undefined ? 'pcp' : 'nat-pmp',
      epoch: seconds(epoch),
      spread: 0.5,
      ...(address === undefined ? {} : { address: parseIpAddress(address) }),
    })
  }

  /** To the next moment with something to do, `count` times, or to a time. */
  next(): this {
    this.nowMs = nextMs(this.state)
    return this.give({ kind: 'tick' })
  }

  at(nowMs: number): this {
    this.nowMs = nowMs
    return this
  }
}

function mapped(): Run {
  return new Run().gateway(HOME).asked(MAPPING)
}

const rule = suite('the machine of port mappings')

rule('a gateway is asked at once, the mapping told, and renewed at half of its lifetime', () => {
  const run = mapped()
  assert.equal(run.state.held?.mapping, MAPPING)
  run
    .next()
    .asked({ ...MAPPING, epoch: seconds(5600) })
    .next()
  assert.equal(run.done, ['0 round', '0 port-mapping.mapped', '600 renew', '1200 renew'])
})

rule('a renewal comes after ten minutes at most, and never within 5 s of the last ask', () => {
  const long = mapped()
    .at(600_000)
    .asked({ ...MAPPING, lifetime: seconds(86_400) })
  assert.is(nextMs(long.state), 1_200_000)
  const short = new Run().gateway(HOME).asked({ ...MAPPING, lifetime: seconds(10) })
  assert.is(nextMs(short.state), SPACING_MS)
})

rule('a new external endpoint is told; the same is not told again', () => {
  const run = mapped().next().asked(MAPPING).next()
  run.asked({ ...MAPPING, external: parseEndpoint('8.8.4.1:40001') })
  assert.equal(
    run.done.filter((line) => line.includes('mapped')),
    ['0 port-mapping.mapped', '1200 port-mapping.mapped'],
  )
})

rule('an external address that is not of the internet is told with what it means', () => {
  const doubled = new Run().gateway(HOME)
  const inside = { ...MAPPING, external: parseEndpoint('100.64.7.7:51820') }
  const { state, actions } = step(
    doubled.state,
    { kind: 'asked', round: { kind: 'mapped', mapping: inside } },
    0,
  )
  assert.match(state.reason, 'another NAT')
  const [log] = actions
  assert.ok(log?.kind === 'log' && log.level === 'warn')
  assert.is(log.fields['hint'], state.reason)
  assert.is(mapped().state.reason, '')
})

rule('a renewal without an answer is tried at half of what is left, until the mapping ends', () => {
  const run = mapped().next()
  while (run.state.held !== undefined) run.asked(SILENT).next()
  assert.equal(run.done.slice(2), [
    '600 renew',
    '900 round light',
    '1050 round light',
    '1125 round light',
    '1162.5 round light',
    '1181.25 round light',
    '1190.625 round light',
    '1195.625 round light',
    '1200 port-mapping.lost',
  ])
})

rule('a renewal that is refused ends the mapping, and all protocols are asked anew', () => {
  const run = mapped().next().at(600_010).asked(REFUSED)
  assert.is(run.state.held, undefined)
  assert.equal(run.next().done.slice(3), ['600.01 port-mapping.lost', '605 round'])
})

rule('a mapping is not lost because another protocol than its own is refused', () => {
  const { failures } = SILENT as Round & { readonly kind: 'failed' }
  const off = { protocol: 'upnp', kind: 'refused', reason: 'switched off' } as const
  const run = mapped().next().asked(SILENT).next()
  run.asked({ kind: 'failed', failures: [...failures, off] }).next()
  assert.equal(run.state.held?.mapping, MAPPING)
  assert.equal(run.done.slice(2), ['600 renew', '900 round light', '1050 round light'])
})

rule('who never answers is asked by single packets, a minute later and ever more seldom', () => {
  const run = new Run().gateway(HOME)
  for (let round = 0; round < 8; round += 1) run.asked(SILENT).next()
  assert.equal(run.done, [
    '0 round',
    '0 port-mapping.unavailable',
    '60 round light',
    '180 round light',
    '420 round light',
    '900 round light',
    '1860 round light',
    '3660 round light',
    '5460 round light',
    '7260 round light',
  ])
})

rule('a refusal is told once, another one again', () => {
  const run = new Run().gateway(HOME).asked(REFUSED).next().asked(REFUSED).next().asked(SILENT)
  assert.equal(
    run.done.filter((line) => line.includes('port-mapping')),
    ['0 port-mapping.refused', '180 port-mapping.unavailable'],
  )
})

rule('another address towards the gateway loses the mapping and asks for a new one', () => {
  const run = mapped().at(60_000).gateway(CAFE)
  assert.is(run.state.held, undefined)
  assert.equal(run.done.slice(2), ['60 port-mapping.lost', '60 round'])
})

rule('networks that change all the time cause a round every 5 s at most', () => {
  const run = new Run()
  for (let ms = 0; ms < 60_000; ms += 100) {
    run.at(ms).gateway(ms % 200 === 0 ? HOME : CAFE)
    if (nextMs(run.state) <= ms) run.give({ kind: 'tick' })
  }
  const rounds = run.done.filter((line) => line.includes('round'))
  assert.ok(rounds.length <= 12, `${rounds.length} rounds in a minute`)
})

rule('events on a network whose gateway never answers cause a round a minute at most', () => {
  const run = new Run()
  for (let ms = 0; ms < 600_000; ms += 1000) {
    run.at(ms).gateway(ms % 5000 === 0 ? undefined : HOME)
    if (run.state.isAsking) run.asked(SILENT)
  }
  const rounds = run.done.filter((line) => line.includes('round'))
  assert.ok(rounds.length <= 10, `${rounds.length} rounds in ten minutes`)
})

rule('a route that goes and comes back keeps the mapping and renews it', () => {
  const run = mapped().at(60_000).gateway(undefined)
  assert.equal(run.state.held?.mapping, MAPPING)
  assert.is(nextMs(run.state), 1_200_000)
  run.at(61_000).gateway(HOME)
  assert.equal(run.done.slice(2), ['61 renew'])
})

rule('without a default route nobody is asked, and the mapping ends with its lifetime', () => {
  const run = mapped().at(60_000).gateway(undefined).next()
  assert.equal(run.done.slice(2), ['1200 port-mapping.lost'])
  assert.is(nextMs(run.state), Infinity)
})

rule('a gateway that announces a younger state is asked within a second (RFC 6887 §14.1)', () => {
  const run = mapped().at(100_000).announced(3).next()
  assert.equal(run.done.slice(2), ['100.5 renew'])
})

rule('an announcement of the state that is known, or of the same address, changes nothing', () => {
  const run = mapped().at(100_000).announced(5100).announced(5100, '8.8.4.1')
  assert.is(nextMs(run.state), 600_000)
})

rule('another external address that is announced is asked for (RFC 6886 §3.2.1)', () => {
  const run = mapped().at(100_000).announced(5100, '8.8.4.9').next()
  assert.equal(run.done.slice(2), ['100.5 renew'])
})

rule('a gateway that never answered and announces itself is asked', () => {
  const run = new Run().gateway(HOME).at(2000).asked(SILENT).at(20_000).announced(1).next()
  assert.equal(run.done.slice(2), ['20.5 round light'])
})

rule('announcements without end cause an ask every 5 s at most', () => {
  const run = mapped()
  for (let ms = 10_000; ms < 70_000; ms += 10) {
    run.at(ms).announced(3)
    if (nextMs(run.state) <= ms) run.give({ kind: 'tick' })
    if (run.state.isAsking) run.asked(MAPPING)
  }
  const asks = run.done.filter((line) => line.includes('renew'))
  assert.ok(asks.length <= 12, `${asks.length} asks in a minute`)
})

rule.run()

const epochs = suite('epochs')
const at = (of: number, heardMs: number) => ({ seconds: seconds(of), heardMs })

epochs('of PCP may go back a second, and run a sixteenth and 2 s apart (RFC 6887 §8.5)', () => {
  const lost = (epoch: number, ms: number) => isStateLost('pcp', at(1000, 0), at(epoch, ms))
  assert.equal([lost(1000, 0), lost(999, 0), lost(998, 0)], [false, false, true])
  assert.equal(
    [lost(1160, 160_000), lost(1150, 160_000), lost(1148, 160_000)],
    [false, false, false],
  )
  assert.equal([lost(1147, 160_000), lost(1172, 160_000), lost(1173, 160_000)], [true, false, true])
  assert.ok(lost(0, 1))
})

epochs('of NAT-PMP may be an eighth and 2 s behind (RFC 6886 §3.6)', () => {
  const lost = (epoch: number, ms: number) => isStateLost('nat-pmp', at(1000, 0), at(epoch, ms))
  assert.equal(
    [lost(1138, 160_000), lost(1137, 160_000), lost(9999, 160_000)],
    [false, true, false],
  )
})

epochs('there are none in UPnP', () => {
  assert.not(isStateLost('upnp', at(1000, 0), at(0, 10)))
})

epochs.run()
