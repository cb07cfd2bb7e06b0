/** Which router the host's default route names, from what `ip` prints. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { readGateway } from '../../../agent/host/gateway.ts'
import { CommandError, type Commands } from '../../../agent/host/run.ts'
import type { AddressFamily } from '../../../protocol/address.ts'

/** @param routes what `ip route show default` prints
 *  @param sources the address that `ip route get` chooses on an interface */
function gateway(
  routes: unknown,
  sources: Readonly<Record<string, string>> = { eth0: '192.168.1.10', wlan0: '10.0.0.7' },
  family: AddressFamily = 4,
) {
  const commands: Commands = {
    run: (_command, args) => {
      assert.ok(args.includes(`-${family}`))
      if (args.includes('show'))
        return Promise.resolve(typeof routes === 'string' ? routes : JSON.stringify(routes))
      const source = sources[args.at(-1) ?? '']
      return source === undefined
        ? Promise.reject(new CommandError('ERR_COMMAND_FAILED', 'Network is unreachable'))
        : Promise.resolve(JSON.stringify([{ dst: '8.0.0.0', prefsrc: source }]))
    },
    require: () => Promise.resolve(),
    start: () => {
      throw new Error('nothing lasts')
    },
  }
  return readGateway(commands, family, 'nexodus0', (name) => name === 'wg1')
}

const rule = suite('the gateway')
const HOME = { dst: 'default', gateway: '192.168.1.1', dev: 'eth0' }
const FOUND = { address: '192.168.1.1', interfaceName: 'eth0', source: '192.168.1.10' }

rule('is the default route’s, with the host’s address towards the internet', async () => {
  assert.equal(await gateway([HOME]), FOUND)
})

rule('is that of the lowest metric; no metric is the lowest', async () => {
  const wlan = { dst: 'default', gateway: '10.0.0.1', dev: 'wlan0', metric: 600 }
  assert.equal(await gateway([wlan, { ...HOME, metric: 100 }]), FOUND)
  assert.equal(await gateway([{ ...wlan, metric: 1 }, HOME]), FOUND)
})

rule('is never through a tunnel, a container’s bridge or a line without a router', async () => {
  for (const dev of ['nexodus0', 'wg1', 'docker0'])
    assert.equal(await gateway([{ ...HOME, dev }]), undefined, dev)
  assert.equal(
    await gateway([
      { dst: 'default', dev: 'ppp0' },
      { ...HOME, metric: 9 },
    ]),
    FOUND,
  )
})

rule('is the first hop of several that has an address', async () => {
  const nexthops = [
    { gateway: '172.16.0.1', dev: 'eth9' },
    { gateway: '192.168.1.1', dev: 'eth0' },
  ]
  assert.equal(await gateway([{ dst: 'default', nexthops }]), FOUND)
})

rule('of IPv6 may be link-local', async () => {
  const route = { dst: 'default', gateway: 'fe80::1', dev: 'eth0', metric: 1024 }
  assert.equal(await gateway([route], { eth0: '2001:db8::10' }, 6), {
    address: 'fe80::1',
    interfaceName: 'eth0',
    source: '2001:db8::10',
  })
})

rule(
  'is none where there is no default route, no address, or nothing that can be read',
  async () => {
    assert.is(await gateway(''), undefined)
    assert.is(await gateway([]), undefined)
    assert.is(await gateway([HOME], {}), undefined)
    assert.is(await gateway([{ ...HOME, gateway: 'nonsense' }]), undefined)
  },
)

rule.run()
