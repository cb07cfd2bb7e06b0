/** By which ways WireGuard's datagrams go to a peer. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { initialState, type PathState } from '../../../agent/path/path-state.ts'
import { waysOf } from '../../../agent/path/ways.ts'
import { parseEndpoint } from '../../../protocol/address.ts'
import type { Candidate } from '../../../protocol/endpoint-update.ts'

const INITIATION = Uint8Array.from({ length: 148 }, (_, index) => (index === 0 ? 1 : 0))
const RESPONSE = Uint8Array.from({ length: 92 }, (_, index) => (index === 0 ? 2 : 0))
const DATA = Uint8Array.from({ length: 64 }, (_, index) => (index === 0 ? 4 : 0))
const candidate = (kind: Candidate['kind'], text: string): Candidate => ({
  kind,
  ...parseEndpoint(text),
})
const CANDIDATES = [
  candidate('host', '192.168.3.10:51820'),
  candidate('host', '[2001:db8:3::10]:51820'),
  candidate('server-reflexive', '198.18.3.2:51820'),
]
const state = (initiates: boolean, change: Partial<PathState> = {}): PathState => ({
  ...initialState(initiates, CANDIDATES, 0),
  ...change,
})
const NONE = { direct: [], relay: false }

const rule = suite('ways of a datagram')

rule('tries an initiation at what others see of the peer, then at its own addresses', () => {
  assert.equal(waysOf(state(true), CANDIDATES, INITIATION), {
    direct: ['198.18.3.2:51820', '192.168.3.10:51820', '[2001:db8:3::10]:51820'].map(parseEndpoint),
    relay: false,
  })
})

rule('tries it nowhere where the other side initiates', () => {
  assert.equal(waysOf(state(false), CANDIDATES, INITIATION), NONE)
})

rule('tries nothing but initiations', () => {
  for (const datagram of [RESPONSE, DATA, new Uint8Array(148), new Uint8Array(0)]) {
    assert.equal(waysOf(state(true), CANDIDATES, datagram), NONE)
  }
})

rule('tries at four candidates, whatever a peer says', () => {
  const many = Array.from({ length: 30 }, (_, index) =>
    candidate('server-reflexive', `203.0.113.${index}:51820`),
  )
  assert.is(waysOf(state(true), many, INITIATION).direct.length, 4)
})

rule('tries nothing where a relay takes datagrams', () => {
  const relayed = state(true)
  const withRelay = { ...relayed, relay: { ...relayed.relay, available: true } }
  assert.equal(waysOf(withRelay, CANDIDATES, INITIATION), { direct: [], relay: true })
})

rule('tries nothing where a path was proved', () => {
  const told = parseEndpoint('198.18.3.2:51820')
  assert.equal(waysOf(state(true, { told }), CANDIDATES, INITIATION), {
    direct: [told],
    relay: false,
  })
})

rule.run()
