/** Rules and properties of the difference between tunnel configurations. */
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { TunnelConfig, TunnelPeer } from '../../../agent/tunnel/backend.ts'
import { diffTunnel, isEmpty, type PeerStep } from '../../../agent/tunnel/diff.ts'
import {
  type AgreementPublicKey,
  agreementKeyPairFromPrivate,
  parseAgreementPublicKey,
} from '../../../crypto/agreement.ts'
import { toHex } from '../../../crypto/bytes.ts'
import { type Prefix, parseEndpoint, parsePrefix } from '../../../protocol/address.ts'

const pair = agreementKeyPairFromPrivate(new Uint8Array(32).fill(7))
const [ada, bob, eve] = [1, 2, 3].map(keyOf) as [
  AgreementPublicKey,
  AgreementPublicKey,
  AgreementPublicKey,
]
const X = parsePrefix('10.99.0.1/32')
const Y = parsePrefix('fd00::99/128')
const Z = parsePrefix('10.8.0.0/16')

function keyOf(number: number): AgreementPublicKey {
  return parseAgreementPublicKey(new Uint8Array(32).fill(number))
}

function peer(publicKey: AgreementPublicKey, ...allowedIps: Prefix[]): TunnelPeer {
  return { publicKey, allowedIps, persistentKeepalive: 0 }
}

function config(...peers: TunnelPeer[]): TunnelConfig {
  return {
    privateKey: pair,
    listenPort: 51820,
    addresses: [parsePrefix('100.64.0.1/32')],
    mtu: 1420,
    peers: new Map(peers.map((each) => [toHex(each.publicKey), each])),
  }
}

const rule = suite('diffTunnel')

rule('gives an alias to the device before in the step that gives its prefix to the next', () => {
  const alias = parsePrefix('241.2.3.4/32')
  const before = config(peer(ada, X), peer(bob, Y))
  const during = config({ ...peer(ada), aliasIps: [alias] }, peer(bob, X, Y))
  const gained = (from: TunnelConfig, to: TunnelConfig): readonly string[] =>
    diffTunnel(from, to).wireGuard.peers.flatMap((step): readonly string[] =>
      step.kind === 'set' ? step.gained : step.kind === 'drop' ? step.dropped : [step.kind],
    )
  assert.equal(gained(before, during), [alias, X])
  assert.equal(gained(during, config(peer(ada), peer(bob, X, Y))), [alias])
  assert.is(
    diffTunnel(before, config({ ...peer(ada, X), aliasIps: [alias] }, peer(bob, Y)))
      .isInterfaceChanged,
    false,
  )
  const both = config({ ...peer(ada), aliasIps: [X] }, peer(bob, X))
  assert.throws(() => diffTunnel(undefined, both), /wanted by two peers/)
})

rule('takes all that a peer may send when it is closed, and leaves it its routes', () => {
  const alias = parsePrefix('241.2.3.4/32')
  const before = config({ ...peer(ada, X, Z), aliasIps: [alias] }, peer(bob, Y))
  const closed = config({ ...peer(ada, X, Z), aliasIps: [alias], isClosed: true }, peer(bob, Y))
  assert.equal(diffTunnel(before, closed), {
    wireGuard: { peers: [{ kind: 'drop', publicKey: ada, dropped: [X, Z, alias] }] },
    isInterfaceChanged: false,
  })
  assert.equal(diffTunnel(closed, before), {
    wireGuard: { peers: [{ kind: 'set', publicKey: ada, isNew: false, gained: [X, Z, alias] }] },
    isInterfaceChanged: false,
  })
})

rule('does nothing between equal configurations', () => {
  const change = diffTunnel(config(peer(ada, X), peer(bob, Y)), config(peer(bob, Y), peer(ada, X)))
  assert.equal(change, { wireGuard: { peers: [] }, isInterfaceChanged: false })
  assert.is(isEmpty(change.wireGuard), true)
})

rule('lets the one before send late when the prefix has gone to another, and ends it', () => {
  const late = { ...peer(ada), lateIps: [X] }
  const before = config(peer(ada, X), peer(bob))
  const steps = diffTunnel(before, config(late, peer(bob, X))).wireGuard.peers
  assert.equal(steps, [
    { kind: 'set', publicKey: bob, isNew: false, gained: [X] },
    { kind: 'late', publicKey: ada, prefixes: [X] },
  ])
  const during = config(late, peer(bob, X))
  assert.is(isEmpty(diffTunnel(during, during).wireGuard), true)
  assert.equal(diffTunnel(during, config(peer(ada), peer(bob, X))).wireGuard.peers, [
    { kind: 'late', publicKey: ada, prefixes: [] },
  ])
  assert.equal(diffTunnel(during, config(peer(bob, X))).wireGuard.peers, [
    { kind: 'remove', publicKey: ada },
  ])
})

rule('sets everything on a new tunnel', () => {
  assert.equal(diffTunnel(undefined, config(peer(ada, X))), {
    wireGuard: {
      privateKey: pair,
      listenPort: 51820,
      peers: [
        {
          kind: 'set',
          publicKey: ada,
          isNew: true,
          persistentKeepalive: 0,
          gained: [X],
        },
      ],
    },
    isInterfaceChanged: true,
  })
})

rule('moves an allowed IP by one step, on the peer that gains it', () => {
  const change = diffTunnel(config(peer(ada, X, Z), peer(bob)), config(peer(ada, Z), peer(bob, X)))
  assert.equal(change, {
    wireGuard: {
      peers: [{ kind: 'set', publicKey: bob, isNew: false, gained: [X] }],
    },
    isInterfaceChanged: false,
  })
})

rule('gives a departing peer’s prefix to its heir before removing the peer', () => {
  const { wireGuard } = diffTunnel(config(peer(ada, X)), config(peer(bob, X)))
  assert.equal(
    wireGuard.peers.map((step) => [step.kind, step.publicKey]),
    [
      ['set', bob],
      ['remove', ada],
    ],
  )
})

rule('drops only the allowed IP that nobody wants any more', () => {
  const change = diffTunnel(config(peer(ada, X, Z)), config(peer(ada, Z)))
  assert.equal(change, {
    wireGuard: { peers: [{ kind: 'drop', publicKey: ada, dropped: [X] }] },
    isInterfaceChanged: true,
  })
})

rule('leaves the endpoint alone where none is wanted', () => {
  const known = { ...peer(ada, X), endpoint: parseEndpoint('192.0.2.1:51820') }
  assert.equal(diffTunnel(config(known), config(peer(ada, X))).wireGuard.peers, [])
})

rule('sets an endpoint and a keepalive that differ', () => {
  const endpoint = parseEndpoint('[2001:db8::1]:51820')
  const wanted = config({ ...peer(ada, X), endpoint, persistentKeepalive: 25 })
  assert.equal(diffTunnel(config(peer(ada, X)), wanted).wireGuard.peers, [
    {
      kind: 'set',
      publicKey: ada,
      isNew: false,
      endpoint,
      persistentKeepalive: 25,
      gained: [],
    },
  ])
})

rule('sets a key and a port that differ, and no peer', () => {
  const other = agreementKeyPairFromPrivate(new Uint8Array(32).fill(9))
  const wanted = { ...config(peer(ada, X)), privateKey: other, listenPort: 4242 }
  assert.equal(diffTunnel(config(peer(ada, X)), wanted), {
    wireGuard: { privateKey: other, listenPort: 4242, peers: [] },
    isInterfaceChanged: false,
  })
})

rule('sees addresses in another order as another interface, for the first is the source', () => {
  const [a, b] = [parsePrefix('100.64.0.1/32'), parsePrefix('10.99.0.1/32')]
  const before = { ...config(), addresses: [a, b] }
  assert.is(diffTunnel(before, { ...config(), addresses: [b, a] }).isInterfaceChanged, true)
  assert.is(diffTunnel(before, { ...config(), addresses: [a, b] }).isInterfaceChanged, false)
  assert.is(diffTunnel(before, { ...before, mtu: 1280 }).isInterfaceChanged, true)
})

rule('refuses a prefix that two peers want', () => {
  assert.throws(
    () => diffTunnel(undefined, config(peer(ada, X), peer(eve, X))),
    /10\.99\.0\.1\/32 is wanted by two peers/,
  )
})

/** WireGuard's rules: who owns each prefix. */
class Model {
  readonly owner = new Map<Prefix, string>()
  readonly peers = new Set<string>()

  /** Additions take from the owner. */
  make(step: PeerStep): void {
    const key = toHex(step.publicKey)
    if (step.kind === 'set') this.give(key, step.gained)
    if (step.kind === 'drop') for (const prefix of step.dropped) this.owner.delete(prefix)
    if (step.kind === 'remove') this.remove(key)
  }

  private give(key: string, prefixes: readonly Prefix[]): void {
    this.peers.add(key)
    for (const prefix of prefixes) this.owner.set(prefix, key)
  }

  private remove(key: string): void {
    this.peers.delete(key)
    for (const [prefix, owner] of this.owner) if (owner === key) this.owner.delete(prefix)
  }
}

function ownersIn({ peers }: TunnelConfig): Map<Prefix, string> {
  return new Map(
    [...peers].flatMap(([key, each]) => each.allowedIps.map((prefix) => [prefix, key])),
  )
}

/** Five peers that may be there, and who has each of six prefixes: nobody, or a peer that is there. */
const someConfig = fc
  .record({
    present: fc.array(fc.boolean(), { minLength: 5, maxLength: 5 }),
    owners: fc.array(fc.nat(6), { minLength: 6, maxLength: 6 }),
  })
  .map(({ present, owners }) =>
    config(
      ...present.flatMap((isThere, number) =>
        isThere
          ? [
              peer(
                keyOf(number + 1),
                ...owners.flatMap((owner, p) => (owner === number ? [prefixOf(p)] : [])),
              ),
            ]
          : [],
      ),
    ),
  )

function prefixOf(number: number): Prefix {
  return parsePrefix(number % 2 === 0 ? `10.0.${number}.0/24` : `fd00::${number}/128`)
}

rule(
  'leads to what is wanted, and no prefix that has an owner before and after is ever without one',
  () => {
    fc.assert(
      fc.property(someConfig, someConfig, (before, after) => {
        const model = new Model()
        for (const step of diffTunnel(undefined, before).wireGuard.peers) model.make(step)
        assert.equal(model.owner, ownersIn(before))
        const kept = [...ownersIn(before).keys()].filter((prefix) => ownersIn(after).has(prefix))
        for (const step of diffTunnel(before, after).wireGuard.peers) {
          model.make(step)
          for (const prefix of kept) assert.ok(model.owner.has(prefix), `${prefix} has no owner`)
        }
        assert.equal(sorted(model.owner), sorted(ownersIn(after)))
        assert.equal([...model.peers].sort(), [...after.peers.keys()].sort())
      }),
      { numRuns: 1000 },
    )
  },
)

function sorted(owners: Map<Prefix, string>): [Prefix, string][] {
  return [...owners].sort(([a], [b]) => (a < b ? -1 : 1))
}

rule.run()
