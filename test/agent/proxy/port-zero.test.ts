/** A datagram whose source port is 0, which nobody can answer, does nothing to a port of the proxy. */
import { spawnSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { needs } from '../../support/needs.ts'
import { freePort, startTwoProxies, startUdpService } from './two-proxies.ts'

needs('root', 'python3')

const rule = suite('datagrams from port 0')

/** Header and data as they are on the wire: source port, port, length, no checksum. */
const RAW = `import socket, struct, sys
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
raw.sendto(struct.pack('!HHHH', 0, int(sys.argv[1]), 12, 0) + b'zero', ('127.0.0.1', 0))`

rule('are dropped, and others are answered', async () => {
  await using dns = await startUdpService('dns')
  const port = await freePort()
  await using _two = await startTwoProxies({
    near: { egress: [`udp:${port}:far:53`] },
    far: { ingress: [`udp:53:127.0.0.1:${dns.port}`] },
  })
  const { status, stderr } = spawnSync('python3', ['-c', RAW, `${port}`], { encoding: 'utf8' })
  assert.is(status, 0, stderr)
  const asker = createSocket('udp4')
  asker.send('who', port, '127.0.0.1')
  const [answer] = await once(asker, 'message')
  asker.close()
  assert.is(String(answer), 'dns:who')
  assert.equal(dns.asked.map(String), ['who'])
})

rule.run()
