/** Host names of rules are resolved when they are dialled: a name whose address has changed is reached at the new one. */
import dns from 'node:dns'
import promised from 'node:dns/promises'
import { syncBuiltinESMExports } from 'node:module'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FAR } from '../../../simulations/world/stack-pair.ts'
import {
  askTcp,
  askUdp,
  freePort,
  startTcpService,
  startTwoProxies,
  startUdpService,
} from './two-proxies.ts'

const NAME = 'moving.test'
let address = '127.0.0.1'

type Told = (error: Error | null, ...found: readonly unknown[]) => void

/** As the system's resolver, with one name that it knows. */
const system = { lookup: dns.lookup, promised: promised.lookup }
const answer = { address, family: 4 }

const rule = suite('host names of a proxy')

rule.before(() => {
  Object.assign(dns, {
    lookup: (host: string, options: dns.LookupOptions, told: Told) => {
      if (host !== NAME) Reflect.apply(system.lookup, dns, [host, options, told])
      else if (options.all) told(null, [{ ...answer, address }])
      else told(null, address, 4)
    },
  })
  Object.assign(promised, {
    lookup: async (host: string) =>
      host === NAME ? { ...answer, address } : system.promised(host),
  })
  syncBuiltinESMExports()
})
rule.after(() => {
  Object.assign(dns, { lookup: system.lookup })
  Object.assign(promised, { lookup: system.promised })
  syncBuiltinESMExports()
})

rule("ingress: of this host's network, by TCP and UDP", async () => {
  await using one = await startTcpService('one', '127.0.0.1')
  await using other = await startTcpService('other', '127.0.0.2', one.port)
  await using oneUdp = await startUdpService('one', '127.0.0.1')
  await using _otherUdp = await startUdpService('other', '127.0.0.2', oneUdp.port)
  const port = await freePort()
  await using _two = await startTwoProxies({
    near: { egress: [`tcp:${port}:${FAR[4]}:80`, `udp:${port}:${FAR[4]}:80`] },
    far: { ingress: [`tcp:80:${NAME}:${other.port}`, `udp:80:${NAME}:${oneUdp.port}`] },
  })
  assert.is(await askTcp(port, 'tcp'), 'one:tcp')
  assert.is(await askUdp(port, 'udp'), 'one:udp')
  address = '127.0.0.2'
  assert.is(await askTcp(port, 'tcp'), 'other:tcp')
  assert.is(await askUdp(port, 'udp'), 'other:udp')
})

rule.run()
