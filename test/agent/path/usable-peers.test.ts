import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { PathPeer } from '../../../agent/path/paths.ts'
import { UsablePeers, usableCandidates } from '../../../agent/path/usable-peers.ts'
import { type Endpoint, parseEndpoint } from '../../../protocol/address.ts'
import { testOrganization } from '../../support/organization.ts'

const rule = suite('usable peers')
const acme = testOrganization('acme')
const NEAR = { kind: 'host' as const, ...parseEndpoint('192.0.2.1:51820') }
const INSIDE = { kind: 'host' as const, ...parseEndpoint('100.64.0.9:51820') }

const peerOf = (name: string): PathPeer => ({
  device: acme.device(name).id,
  name,
  wireguardKey: acme.device(name).wireguard.publicKey,
  candidates: [NEAR, INSIDE],
  nat: [],
})

function hostWith(state: { mark: string; asked: number }) {
  return {
    mark: () => state.mark,
    mayBePeer: ({ address }: Endpoint) => {
      state.asked += 1
      return !address.startsWith('100.') || state.mark === 'without a tunnel'
    },
  }
}

rule('have no candidates that may not be checked, and no more than are allowed', () => {
  const many = Array.from({ length: 100 }, (_, index) => ({ ...NEAR, port: 1000 + index }))
  assert.equal(usableCandidates([NEAR, INSIDE], hostWith({ mark: '', asked: 0 })), [NEAR])
  assert.equal(usableCandidates([NEAR, INSIDE], undefined), [NEAR, INSIDE])
  assert.ok(usableCandidates(many, undefined).length < many.length)
})

rule('are looked at once, and again only where the peer or the host is another', () => {
  const state = { mark: 'one', asked: 0 }
  const [usable, host] = [new UsablePeers(), hostWith(state)]
  const [laptop, phone] = [peerOf('laptop'), peerOf('phone')]
  const first = usable.of([laptop, phone], host)
  assert.equal(first.get(laptop.device)?.candidates, [NEAR])
  assert.is(state.asked, 4)
  const second = usable.of([laptop, { ...phone, candidates: [NEAR] }], host)
  assert.is(second.get(laptop.device), first.get(laptop.device))
  assert.is(state.asked, 5)
  state.mark = 'without a tunnel'
  assert.equal(usable.of([laptop], host).get(laptop.device)?.candidates, [NEAR, INSIDE])
  assert.is(usable.of([laptop], host).has(phone.device), false)
})

rule.run()
