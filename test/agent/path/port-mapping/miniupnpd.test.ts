/** Port mappings at real routers: miniupnpd, by each protocol alone. */
// time limit: 300 s
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { createLab } from '../../../../simulations/lab/lab.ts'
import type { Running } from '../../../../simulations/lab/namespace.ts'
import { until } from '../../../../simulations/lab/scene.ts'
import { needs } from '../../../support/needs.ts'

needs('root', 'netns', 'nft', 'miniupnpd', 'conntrack')

const PROGRAM = new URL('mapping-process.ts', import.meta.url).pathname
/** Site of each; the fifth router has an address of a carrier's inside. */
const PROTOCOLS = ['pcp', 'nat-pmp', 'upnp'] as const
const lab = await createLab({
  sites: [
    ...PROTOCOLS.map((protocol) => ({
      kind: 'symm' as const,
      hosts: 2,
      portMapping: { protocols: [protocol] },
    })),
    { kind: 'v6dual', portMapping: { protocols: PROTOCOLS, longestLifetime: 20 } },
    { kind: 'cgnat', portMapping: { protocols: PROTOCOLS } },
    { kind: 'port' },
  ],
})

function start(site: number, index = 0, seed = index + 1): Running {
  const log = `${lab.folder}/mapping-${site}-${index}.log`
  return lab.host(site, index).namespace.spawn(log, process.execPath, [PROGRAM, String(seed)])
}

async function status(running: Running): Promise<string> {
  running.child.kill('SIGUSR2')
  return (await running.waitFor(/^status (.*)/))[1] ?? ''
}

function routerHas(site: number, ...mappings: readonly string[]): Promise<number> {
  return until(`site ${site} maps ${mappings.join(', ') || 'nothing'}`, 30_000, async () => {
    const found = await lab.mappingDaemon(site).mappings()
    return JSON.stringify(found.toSorted()) === JSON.stringify(mappings.toSorted())
  })
}

const rule = suite('port mappings at miniupnpd')

for (const [index, protocol] of PROTOCOLS.entries()) {
  const site = index + 1
  rule(`${protocol} alone maps, and two hosts have two ports of one router`, async () => {
    const first = start(site)
    await first.waitFor(new RegExp(`external 198\\.20\\.${site}\\.2:51820$`))
    assert.match(await status(first), `"protocol":"${protocol}","external"`)
    const second = start(site, 1)
    const [, port] = await second.waitFor(new RegExp(`external 198\\.20\\.${site}\\.2:(\\d+)$`))
    assert.is.not(port, '51820')
    const host = `192.168.${site}`
    await routerHas(site, `udp 51820 ${host}.10:51820`, `udp ${port} ${host}.11:51820`)
    await second.stop()
    await routerHas(site, `udp 51820 ${host}.10:51820`)
    await first.stop()
    assert.ok(first.lines.includes('ended'))
    await routerHas(site)
  })

  rule(`${protocol}: a router that restarts is asked again`, async () => {
    const running = start(site)
    await routerHas(site, `udp 51820 192.168.${site}.10:51820`)
    await running.waitFor(/^external/)
    await lab.mappingDaemon(site).stop()
    await routerHas(site)
    // A mapping is not asked for within 5 s of the last time.
    await sleep(5000)
    await lab.mappingDaemon(site).start()
    // UPnP announces no loss: a renewal finds out, at once when the network changes.
    if (protocol === 'upnp') running.child.kill('SIGHUP')
    await routerHas(site, `udp 51820 192.168.${site}.10:51820`)
    await running.stop()
    await routerHas(site)
  })
}

rule('an agent that crashed takes its mapping over, for its nonce is the same', async () => {
  const crashed = start(1)
  await crashed.waitFor(/external 198\.20\.1\.2:51820$/)
  await crashed.stop('SIGKILL')
  const stranger = start(1, 0, 99)
  await stranger.waitFor(/external|port-mapping\.(refused|unavailable)/)
  await stranger.stop('SIGKILL')
  const again = start(1, 0, 99)
  await again.waitFor(/external 198\.20\.1\.2:51820$/)
  await again.stop()
  await routerHas(1)
})

rule('a mapping of 20 s is renewed before it ends, and IPv6 has a pinhole by PCP', async () => {
  const running = start(4)
  await running.waitFor(/external 198\.20\.4\.2:51820 \[2001:db8:4:1::10\]:51820$/)
  const daemon = lab.mappingDaemon(4)
  const [pinhole = ''] = await daemon.pinholes()
  assert.match(pinhole, /51820 .*20010db8000400010000000000000010/)
  const begun = performance.now()
  while (performance.now() - begun < 30_000) {
    assert.equal(await daemon.mappings(), ['udp 51820 192.168.4.10:51820'])
    assert.is((await daemon.pinholes()).length, 1)
    await sleep(500)
  }
  assert.not(running.lines.some((line) => line.includes('port-mapping.lost')))
  await running.stop()
  await routerHas(4)
  assert.equal(await daemon.pinholes(), [])
})

rule('a host that gets another address is mapped there', async () => {
  const running = start(2)
  await routerHas(2, 'udp 51820 192.168.2.10:51820')
  await running.waitFor(/^external/)
  await lab.moveHost(lab.host(2))
  running.child.kill('SIGHUP')
  await running.waitFor(/port-mapping\.lost .*the network changed/)
  await until('the new address is mapped', 30_000, async () =>
    (await lab.mappingDaemon(2).mappings()).some((line) => line.includes('192.168.2.110:51820')),
  )
  await running.stop()
  await lab.moveHost(lab.host(2))
})

rule('a router behind a carrier’s NAT has no mapping to give', async () => {
  const running = start(5)
  await running.waitFor(/port-mapping\.(refused|unavailable)/)
  assert.not(running.lines.some((line) => line.startsWith('external')))
  assert.match(await status(running), /"reason":"pcp: /)
  await running.stop()
})

rule('a router that maps nothing is asked, said so once, and stops nobody', async () => {
  const running = start(6)
  await running.waitFor(/port-mapping\.unavailable .*nothing listens there.*upnp: no answer/)
  await running.stop()
})

rule.after(() => lab[Symbol.dispose]())
rule.run()
