/** Whose chains need forwarding, of `nft -j list chains`. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { forwardingUsers } from '../../../agent/host/forwarding-users.ts'

const rule = suite('forwarding users')
const chain = (family: string, table: string, name: string, type?: string, hook?: string) => ({
  chain: { family, table, name, handle: 1, ...(type && { type }), ...(hook && { hook }) },
})

rule('are chains of others that hook what is forwarded or rewrite what leaves', () => {
  const nftables = [
    { metainfo: { version: '1.0.6' } },
    chain('ip', 'nat', 'POSTROUTING', 'nat', 'postrouting'),
    chain('ip', 'nat', 'DOCKER'),
    chain('ip', 'mangle', 'POSTROUTING', 'filter', 'postrouting'),
    chain('inet', 'firewalld', 'filter_FORWARD', 'filter', 'forward'),
    chain('inet', 'firewalld', 'filter_INPUT', 'filter', 'input'),
  ]
  assert.equal(forwardingUsers(JSON.stringify({ nftables }), 'nexodus-router-51820'), [
    'ip nat POSTROUTING',
    'inet firewalld filter_FORWARD',
  ])
})

rule('are routers of other organizations, and nothing else of ours', () => {
  const nftables = [
    chain('inet', 'nexodus-router-51820', 'forward', 'filter', 'forward'),
    chain('inet', 'nexodus-router-51830', 'forward', 'filter', 'forward'),
    chain('inet', 'nexodus-policy-nexodus0', 'forward-to', 'filter', 'forward'),
  ]
  assert.equal(forwardingUsers(JSON.stringify({ nftables }), 'nexodus-router-51820'), [
    'inet nexodus-router-51830 forward',
  ])
})

rule.run()
