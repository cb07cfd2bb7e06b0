/** Runs in a network namespace of its own: makes and changes an interface by one of the tools, and prints what there is
 *  after each step: `node interface-process.ts ip|netlink`. */
import { execFileSync } from 'node:child_process'
import { configureInterface, interfaceTool } from '../../../agent/host/interface.ts'
import { readRouteMtus } from '../../../agent/host/link-mtu.ts'
import { CommandError, commandsOf } from '../../../agent/host/run.ts'
import { parseIpAddress, parsePrefix } from '../../../protocol/address.ts'

const commands = commandsOf(process.argv[2] === 'ip' ? { prefix: ['env'] } : {})
const isNetlink = (await commands.rtnetlink?.()) !== undefined
if (isNetlink !== (process.argv[2] === 'netlink')) throw new Error('not by the tool asked for')
const tool = await interfaceTool(commands)
const NAME = 'tunnel0'
const [V4, V6] = [parsePrefix('100.64.0.1/32'), parsePrefix('fd64::1/128')]
const said: Record<string, unknown> = {}

function host(words: string): string {
  return execFileSync('sh', ['-c', words], { encoding: 'utf8' })
}

/** Of the host, in the words of another program. */
function shown(): readonly string[] {
  const asked = [
    `ip -br link show ${NAME}`,
    `ip -o link show ${NAME} | grep -o 'mtu [0-9]*'`,
    `ip -o address show dev ${NAME} scope global | sed 's/^[0-9]*: //'`,
    `ip route show dev ${NAME}; ip -6 route show dev ${NAME} proto 78`,
  ]
  return asked.map((each) => host(each).replaceAll(/[0-9a-f:]{17} /g, ''))
}

async function failed(act: () => Promise<unknown>): Promise<string> {
  try {
    await act()
    return 'done'
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    return error.code
  }
}

await tool.add(NAME, 'bridge')
await tool.claim(NAME, 'nexodus 1 2 3')
said['links'] = (await tool.links())
  .map(({ name, kind, alias }) => ({ name, kind, alias }))
  .toSorted((a, b) => a.name.localeCompare(b.name))
const peers = ['100.64.0.2/32', '10.5.0.0/16', 'fd64::2/128'].map(parsePrefix)
const routes = [
  { prefix: peers[0] ?? V4, source: parseIpAddress('100.64.0.1'), mtu: 1328 },
  { prefix: peers[1] ?? V4 },
  { prefix: peers[2] ?? V6, source: parseIpAddress('fd64::1'), mtu: 1280 },
]
const whole = { mtu: 1420, addresses: [V4, V6], routes }
said['configured'] = await configureInterface(commands, NAME, whole)
said['there'] = [shown(), await tool.read(NAME)]
const [less, changed] = [routes.slice(1), { prefix: peers[1] ?? V4, mtu: 1300 }]
const later = { mtu: 1400, addresses: [V4], routes: [changed, ...less.slice(1)] }
said['changed'] = [
  await configureInterface(commands, NAME, { ...later, routes: [changed] }),
  shown(),
]
const most = Array.from({ length: 300 }, (_, at) => ({
  prefix: parsePrefix(`10.7.${at >> 8}.${at & 255}/32`),
}))
await configureInterface(commands, NAME, { ...later, routes: most })
said['many'] = (await tool.read(NAME)).routes.length
host(`ip route add 10.8.0.1/32 dev ${NAME} mtu lock 1350; ip route add blackhole 10.9.0.0/16`)
const asked = ['10.8.0.1', '10.7.0.5', '10.9.0.1', '192.0.2.1'].map(parseIpAddress)
said['mtus'] = [...(await readRouteMtus(commands, asked))]
host(`sysctl -qw net.ipv6.conf.${NAME}.disable_ipv6=1`)
said['no IPv6'] = await configureInterface(commands, NAME, whole)
said['refused'] = [
  await failed(() => tool.add(NAME, 'bridge')),
  await failed(() => tool.add('other0', 'no-such-kind')),
  await failed(() => tool.delete('other0')),
  await failed(() => configureInterface(commands, NAME, { ...whole, mtu: 5 })),
]
await tool.delete(NAME)
said['deleted'] = (await tool.links()).map(({ name }) => name)
process.stdout.write(`${JSON.stringify(said)}\n`)
