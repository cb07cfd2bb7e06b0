/** The demonstration: what Nexodus does, live, in the NAT laboratory, told as it happens.
 *
 *    npm run demo:lab          as root; --stay leaves everything up until Ctrl-C */
import { existsSync } from 'node:fs'
import { Command } from 'commander'
import { z } from 'zod'
import { startCapture } from './capture.ts'
import { run } from './namespace.ts'
import { ping, untilAnswered } from './ping.ts'
import { type Scene, startScene, TWO_NATS, until } from './scene.ts'

const { stay } = z
  .object({ stay: z.boolean().default(false) })
  .parse(
    new Command('demo:lab')
      .description(
        'Two hosts behind two NATs find each other, and stay together without a registry.',
      )
      .option('--stay', 'leave registry and agents up at the end')
      .parse()
      .opts(),
  )

const started = performance.now()

function say(line: string): void {
  process.stdout.write(
    `${((performance.now() - started) / 1000).toFixed(1).padStart(6)} s  ${line}\n`,
  )
}

function title(line: string): void {
  process.stdout.write(`\n${line}\n`)
}

/** What the laboratory can't do without, and how to get it; empty where all is there. */
function missing(): readonly string[] {
  const folders = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`.split(':')
  const packages = {
    ip: 'iproute2',
    nft: 'nftables',
    'wireguard-go': 'wireguard-go',
    wg: 'wireguard-tools',
    ping: 'iputils-ping',
    conntrack: 'conntrack',
    iptables: 'iptables',
    python3: 'python3',
    tcpdump: 'tcpdump',
  }
  return Object.entries(packages)
    .filter(([command]) => !folders.some((folder) => existsSync(`${folder}/${command}`)))
    .map(([, name]) => name)
}

async function install(packages: readonly string[]): Promise<void> {
  const command = `apt-get install -y --no-install-recommends ${packages.join(' ')}`
  say(`installing what the laboratory needs: ${command}`)
  try {
    await run(
      'sh',
      ['-c', `apt-get update && DEBIAN_FRONTEND=noninteractive ${command}`],
      '',
      300_000,
    )
  } catch (cause) {
    throw new Error(`could not install ${packages.join(', ')} (install them by hand)`, { cause })
  }
}

async function sceneDirect(scene: Scene): Promise<void> {
  title('1. Two hosts behind two NATs talk directly')
  const [laptop, phone] = [scene.agent('laptop'), scene.agent('phone')]
  const [phone4 = '', phone6 = ''] = await phone.addresses()
  await untilAnswered(laptop.host.namespace, phone4)
  await until('a direct path', 20_000, async () => (await laptop.peer('phone'))?.path === 'direct')
  say(
    `laptop (192.168.2.10, NAT 198.18.2.2) reaches phone (192.168.3.10, NAT 198.18.3.2) at ${(await laptop.peer('phone'))?.endpoint}`,
  )
  const capture = await startCapture(scene.lab.router(2), 'wan', 'udp', scene.lab.folder)
  for (const address of [phone4, phone6]) {
    const { received, sent, timesMs } = await ping(laptop.host.namespace, address)
    say(`ping ${address}: ${received} of ${sent} answered, ${Math.min(...timesMs).toFixed(1)} ms`)
  }
  const packets = await capture.stop()
  const between = packets.filter(
    ({ kind, source, destination }) =>
      kind === 'wireguard-data' && `${source} ${destination}`.includes('198.18.3.2'),
  )
  say(
    `seen on the wire between the NATs: ${between.length} WireGuard packets, ${packets.filter(({ kind }) => kind === 'stun').length} connectivity checks, ${packets.filter(({ kind }) => kind === 'other-udp').length} others`,
  )
}

async function sceneRestart(scene: Scene): Promise<void> {
  title('2. Both restart: how long until the first ping?')
  const [laptop, phone] = [scene.agent('laptop'), scene.agent('phone')]
  const [phone4 = ''] = await phone.addresses()
  await Promise.all([laptop.stop(), phone.stop()])
  const begun = performance.now()
  laptop.start()
  phone.start()
  await untilAnswered(laptop.host.namespace, phone4)
  say(
    `first answer ${Math.round(performance.now() - begun)} ms after both daemons were started (round trip 40 ms)`,
  )
  const { sent, received } = await ping(laptop.host.namespace, phone4, {
    count: 200,
    intervalMs: 10,
  })
  // The tunnel carries before nexd takes questions.
  await laptop.started()
  say(
    `${sent - received} of ${sent} pings lost while the path settled; it is ${(await laptop.peer('phone'))?.path}`,
  )
}

async function sceneDead(scene: Scene): Promise<void> {
  title('3. The registry is killed')
  const [laptop, phone] = [scene.agent('laptop'), scene.agent('phone')]
  const [phone4 = ''] = await phone.addresses()
  await scene.stopRegistry('SIGKILL')
  const { sent, received } = await ping(laptop.host.namespace, phone4)
  say(`tunnels stay: ${received} of ${sent} answered`)
  await Promise.all([laptop.stop('SIGTERM'), phone.stop('SIGTERM')])
  const begun = performance.now()
  laptop.start()
  phone.start()
  await untilAnswered(laptop.host.namespace, phone4)
  say(
    `both agents killed and started again: they met after ${Math.round(performance.now() - begun)} ms`,
  )
  await scene.lab.renumber(3)
  const roamed = performance.now()
  await until(
    'the path to follow',
    60_000,
    async () =>
      (await ping(laptop.host.namespace, phone4, { count: 1, waitMs: 500 })).received === 1,
  )
  say(
    `phone's NAT got another public address: reached again after ${Math.round(performance.now() - roamed)} ms`,
  )
  await scene.startRegistry()
  await scene.signInAgain()
  say('the registry is started again')
}

async function sceneMove(scene: Scene): Promise<void> {
  title('4. An address moves between devices')
  const [hub, laptop, phone] = [scene.agent('hub'), scene.agent('laptop'), scene.agent('phone')]
  for (const name of ['laptop', 'phone']) await scene.grantPrefix(name, '10.99.0.1/32')
  await until(
    'laptop holds 10.99.0.1',
    30_000,
    async () => (await laptop.nexctl('route', 'advertise', '10.99.0.1/32')).status === 0,
  )
  await untilAnswered(hub.host.namespace, '10.99.0.1')
  say('nexctl route advertise 10.99.0.1/32 on laptop; hub pings it every 10 ms')
  const pinging = ping(hub.host.namespace, '10.99.0.1', { count: 200, intervalMs: 10 })
  await new Promise((resolve) => setTimeout(resolve, 700))
  await until(
    'phone holds it',
    30_000,
    async () => (await phone.nexctl('route', 'advertise', '10.99.0.1/32')).status === 0,
  )
  const { longestSilenceMs, sent, received } = await pinging
  say(
    `the same on phone: the hub's longest silence was ${Math.round(longestSilenceMs)} ms, ${sent - received} of ${sent} pings lost`,
  )
}

async function sceneRevoked(scene: Scene): Promise<void> {
  title('5. A device is removed')
  const laptop = scene.agent('laptop')
  const begun = performance.now()
  await scene.removeDevice('phone')
  await until('laptop drops phone', 20_000, async () => (await laptop.peer('phone')) === undefined)
  say(
    `removed in the registry; ${Math.round(performance.now() - begun)} ms later the laptop has no tunnel to it`,
  )
}

async function main(): Promise<void> {
  if (process.getuid?.() !== 0) {
    throw new Error(
      'the laboratory makes network namespaces and tunnels: run it as root (sudo npm run demo:lab), or take npm run demo, which needs no root',
    )
  }
  const lacking = missing()
  if (lacking.length > 0) await install(lacking)
  title('0. Four sites on this machine: a public host, two behind port-restricted NATs, a registry')
  const scene = await startScene({ ...TWO_NATS, narrate: say })
  const acts = [sceneDirect, sceneRestart, sceneDead, sceneMove, sceneRevoked]
  for (const act of acts) await act(scene)
  if (stay) {
    title('Everything stays up until Ctrl-C.')
    say(`registry: ip netns exec ${scene.lab.core.name} curl -i ${scene.registryUrl}/`)
    say(
      `agents:   ip netns exec ${scene.agent('laptop').host.namespace.name} node agent/nexctl.ts --socket ${scene.agent('laptop').socket} peers list`,
    )
    await new Promise(() => setInterval(() => {}, 60_000))
  }
  await scene.stop()
  title('All namespaces are removed.')
}

try {
  await main()
  process.exit(0)
} catch (error) {
  process.stderr.write(`demo:lab: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
}
