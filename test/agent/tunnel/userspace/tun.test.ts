// time limit: 240 s
/** The contract of tunnels inside the process whose packets are an interface's, and what only TUN can do: go away. */
import { closeSync, openSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { TunThread } from '../../../../agent/tunnel/userspace/thread.ts'
import { openTun } from '../../../../agent/tunnel/userspace/tun-device.ts'
import { needs } from '../../../support/needs.ts'
import { tunnelContract } from '../contract.ts'
import { hostContract } from '../host-contract.ts'
import { joinedNamespaces, type Namespace } from '../namespaces.ts'
import { config, PORT, type Side, startSides } from '../sides.ts'
import { type Remote, startRemote } from './remote.ts'

needs('root', 'netns', 'ping')
tunnelContract('tun')
hostContract('tun')

const rule = suite('TUN')

rule('tells when somebody removes the interface, and leaves its port', async () => {
  const sides = await startSides('tun')
  const [side] = sides
  await side.tunnel.configure(config(side))
  assert.match(await side.host.sh('ss -Hlnu'), new RegExp(`:${PORT}`))
  await side.host.sh(`ip link delete ${side.host.tunnelName}`)
  await side.tunnel.ended
  assert.is(await side.host.sh('ss -Hlnu'), '')
  await end(sides)
})

rule(
  'writes nothing to a descriptor that it has closed: the number may be another file by now',
  async () => {
    const written: number[] = []
    const device = openTun('nxgone', {
      control: () => 0,
      read: () => 'EBADFD',
      write: (fd) => written.push(fd),
      eventfd: () => openSync('/dev/null', 'r'),
      waitReadable: async () => undefined,
    })
    assert.match(String(await device.ended), /cannot be read any more/)
    const reused = openSync('/dev/null', 'r')
    device.write(new Uint8Array(100))
    await device[Symbol.asyncDispose]()
    assert.equal(written, [])
    closeSync(reused)
  },
)

rule('answers with an error once its thread has ended', async () => {
  const thread = new TunThread('nxended', () => undefined)
  await thread.end()
  const error = await thread.calls.read().then(
    () => undefined,
    (reason: Error & { code?: string }) => reason.code,
  )
  assert.is(error, 'ERR_TUNNEL_GONE')
  await thread.end()
})

rule('says what an ordinary user lacks', async () => {
  const [host, other] = await joinedNamespaces()
  const prefix = ['ip', 'netns', 'exec', host.name, 'setpriv', '--reuid=65534', '--clear-groups']
  const { calls, child } = startRemote(prefix, {
    over: { backend: 'tun', interfaceName: host.tunnelName },
  })
  const error = await refusal({ calls })
  child.kill()
  assert.is(error.code, 'ERR_TUNNEL_PRIVILEGES')
  assert.match(
    error.message,
    /cannot create nxt\w+: E(PERM|ACCES) at \/dev\/net\/tun \(run as root/,
  )
  for (const each of [host, other]) await each[Symbol.asyncDispose]()
})

async function refusal({ calls }: Pick<Remote, 'calls'>): Promise<Error & { code?: string }> {
  return calls.started().then(
    () => new Error('it started'),
    (cause: Error) => cause,
  )
}

async function end(sides: readonly Side[]): Promise<void> {
  for (const { tunnel } of sides) await tunnel[Symbol.asyncDispose]()
  const hosts: readonly Namespace[] = sides.map(({ host }) => host)
  for (const host of hosts) await host[Symbol.asyncDispose]()
}

rule.run()
