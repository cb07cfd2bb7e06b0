import { spawnSync } from 'node:child_process'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { needs } from '../../support/needs.ts'

needs('root', 'netns')

const PAIR = new URL('mdns-pair.ts', import.meta.url).pathname
/** Multicast needs an interface and a route; the namespace goes with the process. */
const NETWORK = [
  'ip link set lo up',
  'ip link add lan type veth peer name lan-end',
  'ip address add 10.9.9.1/24 dev lan',
  'ip link set lan up',
  'ip link set lan-end up',
  'ip route add 224.0.0.0/4 dev lan',
]
const rule = suite('mDNS')

rule('finds members of the same organization on the local network, and nobody else', () => {
  const command = `${NETWORK.join(' && ')} && exec "$0" "$1"`
  const { stdout, stderr } = spawnSync(
    'unshare',
    ['--net', 'sh', '-c', command, process.execPath, PAIR],
    { encoding: 'utf8', timeout: 30_000 },
  )
  assert.equal(stdout === '' ? stderr : JSON.parse(stdout), {
    found: { ant: ['bee'], bee: ['ant'], cow: [], spy: [] },
    warnings: [],
  })
})

rule.run()
