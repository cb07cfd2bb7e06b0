/** Port mappings at real routers: miniupnpd, by each protocol alone. */
// time limit: 900 s
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
  return (await said(running, /^status (.*)/))[1] ?? ''
}

/** A round that a busy machine spoils is followed by another in a minute. */
const PATIENCE_MS = 150_000

function said(running: Running, pattern: RegExp): Promise<RegExpExecArray> {
  return running.waitFor(pattern, PATIENCE_MS)
}

function routerHas(site: number, ...mappings: readonly string[]): Promise<number> {
  return until(`site ${site} maps ${mappings.join(', ') || 'nothing'}`, PATIENCE_MS, async () => {
    const found = await lab.mappingDaemon(site).mappings()
    return JSON.stringify(found.toSorted()) === JSON.stringify(mappings.toSorted())
  })
}

const rule = suite('port mappings at miniupnpd')

/** At the sites of all protocols at once: most of the time is spent waiting. */
async function atEach(
  act: (site: number, protocol: (typeof PROTOCOLS)[number]) => Promise<void>,
): Promise<void> {
  await Promise.all(PROTOCOLS.map((protocol, index) => act(index + 1, protocol)))
}

rule('each protocol alone maps, two hosts have two ports of one router, and both end', () =>
  atEach(async (site, protocol) => {
    const first = start(site)
    await said(first, new RegExp(`external 198\\.20\\.${site}\\.2:51820$`))
    assert.match(await status(first), `"protocol":"${protocol}","external"`)
    const second = start(site, 1)
    const [, port] = await said(second, new RegExp(`external 198\\.20\\.${site}\\.2:(\\d+)$`))
    assert.is.not(port, '51820')
    const host = `192.168.${site}`
    await routerHas(site, `udp 51820 ${host}.10:51820`, `udp ${port} ${host}.11:51820`)
    await second.stop()
    await routerHas(site, `udp 51820 ${host}.10:51820`)
    await first.stop()
    assert.ok(first.lines.includes('ended'))
    await routerHas(site)
  }),
)

rule('a router that restarts is asked again, by each protocol', () =>
  atEach(async (site, protocol) => {
    const running = start(site)
    await routerHas(site, `udp 51820 192.168.${site}.10:51820`)
    await said(running, /^external/)
    await lab.mappingDaemon(site).stop()
    await routerHas(site)
    await lab.mappingDaemon(site).start()
    // UPnP announces no loss: a renewal finds out, which a change of the network causes.
    if (protocol === 'upnp') running.child.kill('SIGHUP')
    await routerHas(site, `udp 51820 192.168.${site}.10:51820`)
    await running.stop()
    await routerHas(site)
  }),
)

rule('an agent that crashed finds its mapping, and removes it in the end', () =>
  atEach(async (site) => {
    const crashed = start(site)
    await said(crashed, /^external/)
    await crashed.stop('SIGKILL')
    await routerHas(site, `udp 51820 192.168.${site}.10:51820`)
    const again = start(site)
    await said(again, new RegExp(`external 198\\.20\\.${site}\\.2:51820$`))
    await again.stop()
    await routerHas(site)
  }),
)

rule('a mapping of 20 s is renewed before it ends, and IPv6 has a pinhole by PCP', async () => {
  const running = start(4)
  await said(running, /external 198\.20\.4\.2:51820 \[2001:db8:4:1::10\]:51820$/)
  const daemon = lab.mappingDaemon(4)
  const [pinhole = ''] = await daemon.pinholes()
  assert.match(pinhole, /51820 .*20010db8000400010000000000000010/)
  const begun = performance.now()
  while (performance.now() - begun < 22_000) {
    assert.equal(await daemon.mappings(), ['udp 51820 192.168.4.10:51820'])
    assert.is((await daemon.pinholes()).length, 1)
    await sleep(500)
  }
  assert.not(running.lines.some((line) => line.includes('port-mapping.lost')))
  await running.stop()
  await routerHas(4)
  // miniupnpd 2.3.1 takes every removal of a pinhole for a stranger's: it ends with its lifetime.
  await until(
    'the pinhole has ended',
    PATIENCE_MS,
    async () => (await daemon.pinholes()).length === 0,
  )
})

rule('a host that gets another address is mapped there', async () => {
  const running = start(2)
  await routerHas(2, 'udp 51820 192.168.2.10:51820')
  await said(running, /^external/)
  await lab.moveHost(lab.host(2))
  running.child.kill('SIGHUP')
  await said(running, /port-mapping\.lost .*the network changed/)
  await until('the new address is mapped', PATIENCE_MS, async () =>
    (await lab.mappingDaemon(2).mappings()).some((line) => line.includes('192.168.2.110:51820')),
  )
  await running.stop()
  await lab.moveHost(lab.host(2))
})

rule('a router behind a carrier’s NAT has no mapping to give', async () => {
  const running = start(5)
  await said(running, /port-mapping\.(refused|unavailable)/)
  assert.not(running.lines.some((line) => line.startsWith('external')))
  assert.match(await status(running), /"reason":"pcp: /)
  await running.stop()
})

rule('a router that maps nothing is asked, said so once, and stops nobody', async () => {
  const running = start(6)
  await said(running, /port-mapping\.unavailable .*nothing listens there.*upnp: no answer/)
  await running.stop()
})

rule.after(() => lab[Symbol.dispose]())
rule.run()
