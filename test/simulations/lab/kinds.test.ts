// time limit: 300 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { classifyKinds } from '../../../simulations/lab/kinds.ts'
import { createLab } from '../../../simulations/lab/lab.ts'
import { ping } from '../../../simulations/lab/ping.ts'
import { needs } from '../../support/needs.ts'

needs('root', 'netns', 'nft', 'iptables', 'python3', 'ping', 'conntrack')

const rule = suite('kinds of NAT in the laboratory')

async function refusal(work: () => Promise<unknown>, message: string | RegExp): Promise<void> {
  let text = ''
  try {
    await work()
  } catch (error) {
    text = error instanceof Error ? error.message : ''
  }
  if (typeof message === 'string') assert.is(text, message)
  else assert.match(text, message)
}

rule('makes each kind of NAT as RFC 4787 describes it', async () => {
  const found = await classifyKinds()
  const [none, independent, address, port] = [
    'none',
    'endpoint-independent',
    'address-dependent',
    'address-and-port-dependent',
  ] as const
  // Mapping, filtering, is the port kept, is it hairpinning; a host without NAT reaches itself.
  const expected: Readonly<Record<string, readonly unknown[]>> = {
    public: [independent, independent, true, true],
    fw: [independent, port, true, true],
    full: [independent, independent, true, false],
    addr: [independent, address, true, false],
    port: [independent, port, true, false],
    'port-np': [independent, port, false, false],
    symm: [port, port, false, false],
    cgnat: [independent, port, true, false],
    cgsymm: [port, port, false, false],
    hairpin: [independent, independent, true, true],
    udpblock: [none, none, false, false],
    v6: [independent, port, true, true],
    v6dual: [independent, port, true, false],
    'v6dual IPv6': [independent, port, true, true],
  }
  assert.equal([...found.keys()].toSorted(), Object.keys(expected).toSorted())
  for (const [kind, { mapping, filtering, isPortKept, isHairpinning }] of found)
    assert.equal(
      [kind, mapping, filtering, isPortKept, isHairpinning],
      [kind, ...(expected[kind] ?? [])],
    )
})

rule('changes ports, where it is told so, once on the way whatever the kind', async () => {
  const found = await classifyKinds(['addr-np', 'cgnat-np', 'hairpin-np-iso'])
  for (const [kind, filtering, isHairpinning] of [
    ['addr-np', 'address-dependent', false],
    ['cgnat-np', 'address-and-port-dependent', false],
    ['hairpin-np-iso', 'endpoint-independent', true],
  ] as const) {
    const { mapping, filtering: f, isPortKept, isHairpinning: h } = found.get(kind) ?? {}
    assert.equal(
      [kind, mapping, f, isPortKept, h],
      [kind, 'endpoint-independent', filtering, false, isHairpinning],
    )
  }
})

rule('keeps the hosts of an isolated LAN apart, and joins those of any other', async () => {
  using lab = await createLab({
    sites: [
      { kind: 'port-iso', hosts: 2 },
      { kind: 'port', hosts: 2 },
      { kind: 'v6-iso', hosts: 2 },
    ],
  })
  for (const [site, isJoined] of [
    [1, false],
    [2, true],
    [3, false],
  ] as const) {
    const [one, other] = [lab.host(site), lab.host(site, 1)]
    const { received } = await ping(one.namespace, other.address, { count: 2, waitMs: 500 })
    assert.is(received > 0, isJoined, `site ${site}`)
    const gateway = site === 3 ? '2001:db8:3:1::1' : `192.168.${site}.1`
    assert.ok((await ping(one.namespace, gateway, { count: 2 })).received > 0, `site ${site}`)
  }
})

rule(
  'turns packets for its own public address back to its hosts, where it is of that kind',
  async () => {
    using lab = await createLab({
      sites: [
        { kind: 'hairpin-iso', hosts: 2 },
        { kind: 'full-iso', hosts: 2 },
        { kind: 'public' },
      ],
    })
    for (const [site, isTurned] of [
      [1, true],
      [2, false],
    ] as const) {
      const [one, other] = [lab.host(site), lab.host(site, 1)]
      const heard = `python3 -c 'import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 5000)); s.sendto(b"out", ("198.18.3.2", 9)); s.settimeout(3)
print("ready", flush=True); print(*s.recvfrom(9), flush=True)'`
      const listener = one.namespace.spawn('/dev/null', 'sh', ['-c', heard])
      await listener.waitFor(/ready/)
      const say = `import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b"hello", ("198.18.${site}.2", 5000))`
      await other.namespace.exec('python3', '-c', say)
      await listener.ended
      // Its source is rewritten too: the answer must come back the same way.
      const isHeard = listener.lines.some((line) => line.includes(`b'hello' ('192.168.${site}.1'`))
      assert.is(isHeard, isTurned, `site ${site}: ${listener.lines.join(' / ')}`)
    }
  },
)

rule('joins hosts that have only IPv6 to those that have it, and to no other', async () => {
  using lab = await createLab({ sites: [{ kind: 'v6' }, { kind: 'v6dual' }, { kind: 'public' }] })
  const from = lab.host(1).namespace
  assert.is(lab.host(1).address, '2001:db8:1:1::10')
  assert.ok((await ping(from, '2001:db8:3::2', { count: 2 })).received > 0)
  assert.not.match(await from.exec('ip', '-4', '-o', 'addr', 'show', 'scope', 'global'), /inet/)
  await refusal(() => lab.renumber(1), 'site 1 has no public IPv4 address to change')
  await refusal(() => lab.moveHost(lab.host(1)), /has no private IPv4 address to change/)
})

rule.run()
