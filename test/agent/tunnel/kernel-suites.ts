/** All that needs a kernel with WireGuard: the contract of the backend, and the process's own WireGuard beside it. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { systemClock } from '../../../agent/system-clock.ts'
import { startTunnel } from '../../../agent/tunnel/detect.ts'
import { needs } from '../../support/needs.ts'
import { portShareContract } from '../host/port-share-contract.ts'
import { curlSuite } from '../proxy/curl-suite.ts'
import { tunnelContract } from './contract.ts'
import { hostContract } from './host-contract.ts'
import { joinedNamespaces } from './namespaces.ts'
import { interopSuite } from './userspace/interop-suite.ts'
import { renewalSuite } from './userspace/renewal-suite.ts'

needs('root', 'netns', 'nft', 'ping', 'curl')
const renewal = renewalSuite('kernel')
interopSuite('kernel')
// Less than elsewhere: in a guest each byte takes ten times as long.
curlSuite('kernel', 2_000_000)
tunnelContract('kernel')
hostContract('kernel')
portShareContract('kernel')

const rule = suite('startTunnel')

rule('chooses the kernel’s WireGuard where there is one', async () => {
  const [host, other] = await joinedNamespaces()
  await using _host = host
  await using _other = other
  await using tunnel = await startTunnel({
    backend: 'auto',
    interfaceName: host.tunnelName,
    commands: host.commands,
    clock: systemClock,
    log: () => undefined,
  })
  assert.is(tunnel.kind, 'kernel')
})

rule.run()
renewal.run()
