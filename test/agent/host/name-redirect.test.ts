/** Questions for names while an exit is in use, on a host of the kernel's. */
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { startNameRedirect } from '../../../agent/host/name-redirect.ts'
import { ownerMark } from '../../../agent/host/owner.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import { parseIpAddress, parsePrefix } from '../../../protocol/address.ts'
import { needs } from '../../support/needs.ts'
import { joinedNamespaces } from '../tunnel/namespaces.ts'

needs('root', 'netns', 'nft')

const rule = suite('redirected questions for names')
const [near, far] = await joinedNamespaces()
await near.sh(`ip route add default via ${far.ipv4}; ip -6 route add default via ${far.ipv6}`)
const logged: string[] = []
const start = () =>
  startNameRedirect({
    interfaceName: 'nx0',
    commands: near.commands,
    clock: systemClock,
    log: (_level, event) => void logged.push(event),
  })
const listed = (): Promise<string> => near.commands.run('nft', ['list', 'ruleset'])

/** What becomes of a datagram to port 53 of each address: `refused` at once, or it comes to our resolver. */
async function fateOf(...addresses: readonly string[]): Promise<readonly string[]> {
  const said = await near.commands.run(process.execPath, [
    new URL('./name-redirect-process.ts', import.meta.url).pathname,
    ...addresses,
  ])
  return said.trim().split('\n')
}

rule('come to our resolver, or are refused, and those beside are as ever', async () => {
  await using redirect = await start()
  const wanted = {
    servers: [{ address: parseIpAddress('127.88.0.53'), port: 5353 }],
    hostServers: [parseIpAddress('192.0.2.53')],
    beside: [parsePrefix('10.99.0.0/16'), parsePrefix('10.0.0.0/30')],
  }
  await redirect.configure(wanted)
  const asked = ['192.168.1.1', '10.98.0.1', '192.0.2.53', '198.51.100.1', '10.99.0.53', 'fd00::53']
  assert.equal(await fateOf(...asked), ['ours', 'ours', 'ours', 'nothing', 'nothing', 'refused'])
  await redirect.configure({ ...wanted, servers: [] })
  assert.equal(await fateOf('192.168.1.1', '198.51.100.1'), ['refused', 'nothing'])
  const before = await listed()
  await redirect.configure({ ...wanted, servers: [] })
  assert.is(await listed(), before)
  await redirect.configure(undefined)
  assert.not.match(await listed(), /nexodus-names/)
})

/** Polls as long as the test may last. */
async function until(what: () => Promise<boolean>): Promise<void> {
  while (!(await what())) await sleep(20)
}

rule('are redirected again at once when somebody flushes all rules', async () => {
  logged.length = 0
  await using redirect = await start()
  const wanted = { servers: [], hostServers: [parseIpAddress('192.0.2.53')], beside: [] }
  await redirect.configure(wanted)
  const made = await listed()
  // The monitor listens.
  await sleep(1500)
  await near.commands.run('nft', ['flush', 'ruleset'])
  await until(async () => (await listed()) === made)
  await until(async () => logged.length > 0)
  assert.equal(logged, ['names.restored'])
  await redirect.configure(undefined)
  assert.is((await listed()).trim(), '')
  assert.equal(await near.processes(), [], 'nobody watches what is not there')
})

rule('are redirected again when asked for, where the monitor fails', async () => {
  logged.length = 0
  const start: typeof near.commands.start = (_command, ...rest) =>
    near.commands.start('false', ...rest)
  await using redirect = await startNameRedirect({
    ...{ interfaceName: 'nx0', commands: { ...near.commands, start }, clock: systemClock },
    log: (_level, event) => void logged.push(event),
  })
  const wanted = { servers: [], hostServers: [], beside: [] }
  await redirect.configure(wanted)
  const made = await listed()
  await near.commands.run('nft', ['flush', 'ruleset'])
  await redirect.configure(wanted)
  assert.is(await listed(), made)
  assert.ok(logged.includes('names.restored'))
  logged.length = 0
})

rule('leave nothing, also not after a crash of another agent', async () => {
  logged.length = 0
  const table = (name: string, comment: string): string =>
    `table inet nexodus-names-${name} { chain redirected { counter accept comment "${comment}"; }; }\n`
  const input = [
    table('nx0', 'whose'),
    table('gone', ownerMark().replace(/ \d+ \d+$/, ' 999999999 1')),
    table('alive', ownerMark()),
  ].join('')
  await near.commands.run('nft', ['-f', '-'], { input })
  await using redirect = await start()
  const left = await listed()
  assert.not.match(left, /nexodus-names-(nx0|gone)/)
  assert.match(left, /nexodus-names-alive/)
  await near.commands.run('nft', ['delete', 'table', 'inet', 'nexodus-names-alive'])
  await redirect.configure({ servers: [], hostServers: [], beside: [] })
  assert.match(await listed(), /nexodus-names-nx0/)
  await redirect[Symbol.asyncDispose]()
  assert.is((await listed()).trim(), '')
  assert.equal(logged, [])
})

rule('are taken back later where the host did not answer at first', async () => {
  let isBroken = true
  const run: typeof near.commands.run = (...words) =>
    isBroken ? Promise.reject(new Error('nft is busy')) : near.commands.run(...words)
  await near.commands.run('nft', ['add', 'table', 'inet', 'nexodus-names-nx0'])
  await using redirect = await startNameRedirect({
    interfaceName: 'nx0',
    commands: { ...near.commands, run },
    clock: systemClock,
    log: (_level, event) => void logged.push(event),
  })
  assert.equal(logged, ['names.leftovers-unknown'])
  isBroken = false
  await redirect.configure(undefined)
  assert.is((await listed()).trim(), '')
})

rule.run()
