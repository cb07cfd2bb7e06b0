// time limit: 240 s
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { untilAnswered } from '../../../simulations/lab/ping.ts'
import { openField } from '../../../simulations/matrix/field.ts'
import { parsePair } from '../../../simulations/matrix/pairs.ts'
import {
  missingOf,
  PRODUCTS,
  parseProducts,
  runnable,
} from '../../../simulations/products/products.ts'
import { endpointOf } from '../../../simulations/products/wireguard.ts'
import { needs } from '../../support/needs.ts'

needs('root', 'netns', 'nft', 'iptables', 'python3', 'ping', 'conntrack')
needs('wireguard-go', 'nebula', 'tinc', 'n2n')

const rule = suite('products in the laboratory')

rule('are named in a list, and an unknown name is refused', () => {
  assert.equal(
    parseProducts('tinc, nebula+relay').map(({ name }) => name),
    ['tinc', 'nebula+relay'],
  )
  assert.throws(() => parseProducts('tinc,zerotier'), /no product "zerotier" \(nexodus, nebula/)
  assert.throws(() => parseProducts(''), /no product ""/)
})

rule('are left out, with the package to install, where a command is missing', () => {
  const [product] = parseProducts('tinc')
  assert.ok(product !== undefined)
  const lacking = { ...product, commands: ['tincd', 'no-such-command'] }
  assert.equal(missingOf(lacking), ['no-such-command'])
  const told: string[] = []
  assert.equal(
    runnable([lacking], (line) => told.push(line)),
    [],
  )
  assert.equal(told, ['tinc is left out: no no-such-command here (apt-get install tinc)'])
})

rule('accept what is configured for them: two members behind NATs reach each other', async () => {
  const shared = mkdtempSync(join(tmpdir(), 'nexodus-products-'))
  try {
    using field = await openField(parsePair('full+port-np'), { shared })
    const from = field.members.a?.namespace
    assert.ok(from !== undefined)
    for (const product of PRODUCTS) {
      const network = await product.open(field)
      network.start('a')
      network.start('b')
      const ms = await untilAnswered(from, network.address('b'), 60_000)
      assert.ok(ms > 0, product.name)
      const processes = await network.processes('a')
      assert.ok(processes.length > 0, product.name)
      await network.close()
      for (const pid of processes) assert.not.ok(isAlive(pid), `${product.name} left ${pid}`)
    }
  } finally {
    rmSync(shared, { recursive: true })
  }
})

rule('of plain WireGuard are told each other by the external address', async () => {
  const shared = tmpdir()
  const cases = [
    ['port+port-np', '198.18.3.2:60012'],
    ['v6+v6dual', '[2001:db8:3:1::10]:51820'],
    ['v6+public', '[2001:db8:3::2]:51820'],
    ['samelan+port', '192.168.2.11:51820'],
    ['sameiso+port-iso', '198.18.2.2:51820'],
    ['port+v6', undefined],
  ] as const
  for (const [name, endpoint] of cases) {
    using field = await openField(parsePair(name), { shared })
    const { a, b } = field.members
    assert.ok(a !== undefined && b !== undefined)
    assert.is(endpointOf(b, a), endpoint, name)
  }
})

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false
    throw error
  }
}

rule.run()
