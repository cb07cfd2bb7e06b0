import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { BASE_KINDS, parseSiteKind } from '../../../simulations/lab/nat.ts'
import { canBeDirect, parsePair, REFERENCE_PAIRS } from '../../../simulations/matrix/pairs.ts'

const rule = suite('pairs of sites')

rule('are the 44 of the reference, each once', () => {
  const names = REFERENCE_PAIRS.map(({ name }) => name)
  assert.is(new Set(names).size, 44)
  for (const name of ['public+udpblock', 'symm+symm', 'sameiso+hairpin-iso', 'cgsymm+port'])
    assert.ok(names.includes(name), name)
})

rule('are refused where a kind, a suffix or their number is wrong', () => {
  for (const [text, message] of [
    ['port', 'pair "port": want two kinds of site, as port+symm'],
    ['port+port+port', 'pair "port+port+port": want two kinds of site, as port+symm'],
    ['port+', 'pair "port+": want two kinds of site, as port+symm'],
    ['samelan+public', 'pair "samelan+public": public is one host'],
    ['samelan+port-iso', /sameiso is for isolated hosts/],
    ['sameiso+port', /sameiso is for isolated hosts/],
    ['samelan+lan', /^no kind of site "lan" \(public, fw, full/],
    ['cone+port', /^no kind of site "cone"/],
    ['port-xy+port', /^no kind of site "port-xy"/],
    ['port-iso-np+port', /^no kind of site/],
    ['public-np+port', 'kind of site "public-np": public is one host without a LAN'],
    ['fw-iso+port', 'kind of site "fw-iso": fw is one host without a LAN'],
    ['v6-np+port', 'kind of site "v6-np": v6 has no NAT whose ports could differ'],
  ] as const) {
    let refusal = ''
    try {
      parsePair(text)
    } catch (error) {
      refusal = error instanceof Error ? error.message : ''
    }
    if (typeof message === 'string') assert.is(refusal, message)
    else assert.match(refusal, message)
  }
  assert.is(parseSiteKind('cgnat-np-iso'), 'cgnat-np-iso')
})

rule('are direct exactly where no side must know a port that nobody can', () => {
  const relayed = new Set([
    'fw+symm',
    'fw+cgsymm',
    'port+symm',
    'port+cgsymm',
    'port-np+symm',
    'symm+symm',
    'symm+cgnat',
    'symm+cgsymm',
    'symm+v6dual',
    'cgnat+cgsymm',
    'cgsymm+cgsymm',
    'cgsymm+v6dual',
    'sameiso+full-iso',
    'sameiso+port-iso',
    'cgsymm+port',
    'v6+port',
    'full+v6',
    'addr+v6',
    'symm+v6',
    'cgnat+v6',
    'cgsymm+v6',
    'hairpin+v6',
    'port+v6',
  ])
  const combined = BASE_KINDS.flatMap((a, index) =>
    BASE_KINDS.slice(index).map((b) => parsePair(`${a}+${b}`)),
  )
  for (const pair of [...REFERENCE_PAIRS, ...combined]) {
    const isRelayed = relayed.has(pair.name) || pair.kinds.includes('udpblock')
    assert.is(canBeDirect(pair), !isRelayed, pair.name)
    const [a, b] = pair.kinds
    assert.is(canBeDirect({ ...pair, kinds: [b, a] }), !isRelayed, `${pair.name}, turned`)
  }
})

rule.run()
