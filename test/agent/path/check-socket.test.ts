import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openCheckSocket, sourceOf } from '../../../agent/path/check-socket.ts'
import { parseIpAddress } from '../../../protocol/address.ts'

const rule = suite('check socket')

rule('takes nothing that cannot be answered: port 0, a link-local address', () => {
  assert.equal(sourceOf({ address: '192.0.2.1', port: 1 }), { address: '192.0.2.1', port: 1 })
  assert.is(sourceOf({ address: '192.0.2.1', port: 0 }), undefined)
  assert.is(sourceOf({ address: 'fe80::1%eth0', port: 1 }), undefined)
})

rule('sends nothing to port 0, and does not end by it', async () => {
  const socket = await openCheckSocket({
    port: 0,
    onDatagram: () => undefined,
    log: () => undefined,
  })
  assert.not(socket.send(new Uint8Array(20), { address: parseIpAddress('127.0.0.1'), port: 0 }))
  await socket.close()
})

rule.run()
