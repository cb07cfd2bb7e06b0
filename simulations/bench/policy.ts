/** Policy: what it costs to change one, and to hold every packet to it.
 *
 *    npm run bench:policy -- --devices 1000 --prefixes 200 --rules 100
 *
 *  A host with an interface that stands for the tunnel, in a namespace: the table of nftables of a device that has
 *  every rule, put in force and changed again and again; packets of one flow from the other end of the cable, with
 *  and without it; and the same policy inside the process. */
import { readFileSync } from 'node:fs'
import { Command, Option } from 'commander'
import { z } from 'zod'
import { columns } from '../../agent/columns.ts'
import { compilePolicy } from '../../agent/firewall/compile.ts'
import { NO_ALIASES } from '../../agent/firewall/firewall.ts'
import { FlowFilter } from '../../agent/firewall/flow-filter.ts'
import { tableName, tableText } from '../../agent/firewall/nft-table.ts'
import { removalText } from '../../agent/host/nft-tables.ts'
import { Namespace, run } from '../lab/namespace.ts'
import { machine } from '../machine.ts'
import { readOptions } from '../options.ts'
import { median } from '../statistics.ts'
import { policyWorld } from './policy-world.ts'

const options = readOptions(
  new Command('bench:policy')
    .description('Time, memory and packet cost of the policy. Needs root, nftables and python3.')
    .addOption(new Option('--devices <n>', 'of the organization').default('1000'))
    .addOption(new Option('--prefixes <n>', 'that they hold').default('200'))
    .addOption(new Option('--rules <n>', 'all of them of the device measured').default('100'))
    .addOption(new Option('--rounds <n>', 'of which the median is shown').default('9'))
    .addOption(new Option('--packets <n>', 'a round').default('100000')),
  z.object({
    devices: z.coerce.number().int().min(2).max(10_000),
    prefixes: z.coerce.number().int().min(0).max(256),
    rules: z.coerce.number().int().min(1).max(256),
    rounds: z.coerce.number().int().min(1).max(99),
    packets: z.coerce.number().int().min(1000).max(10_000_000),
  }),
)
const INTERFACE = 'tun0'
const [before, after] = [policyWorld(options), policyWorld(options, true)]

function textOf({ policy, own, peers, meshPorts }: typeof before): string {
  return tableText({
    interfaceName: INTERFACE,
    policy: compilePolicy(policy, own, peers),
    ownPrefixes: own.prefixes,
    mesh: { ...meshPorts, user: 0 },
    aliases: NO_ALIASES,
    mark: 'bench',
  })
}

const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6

async function timed(task: () => unknown): Promise<number> {
  const begunMs = nowMs()
  await task()
  return nowMs() - begunMs
}

/** Of the processor. */
function spentMs(task: () => unknown): number {
  const begun = process.cpuUsage()
  task()
  const { user, system } = process.cpuUsage(begun)
  return (user + system) / 1000
}

/** Kilobytes that the kernel has in use for itself. */
function kernelKilobytes(): number {
  const text = readFileSync('/proc/meminfo', 'utf8')
  return Number(/^SUnreclaim:\s*(\d+)/m.exec(text)?.[1])
}

/** UDP to a port that rule 4 lets the sender reach. */
function frame(mac: string): string {
  const rule = before.policy.rules[3]
  const sender = before.peers.find(({ groups }) => groups.includes(rule?.groups[0] ?? ''))
  const [source = ''] = sender?.prefixes ?? []
  const quad = (prefix: string): number[] => prefix.split('/')[0]?.split('.').map(Number) ?? []
  const header = Buffer.from([
    ...[0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0],
    ...quad(source),
    ...quad(before.own.prefixes[0] ?? ''),
  ])
  let sum = 0
  for (let at = 0; at < 20; at += 2) sum += header.readUInt16BE(at)
  header.writeUInt16BE(~((sum & 0xffff) + (sum >>> 16)) & 0xffff, 10)
  const udp = Buffer.alloc(8)
  udp.writeUInt16BE(40_000, 0)
  udp.writeUInt16BE(rule?.ports?.from ?? 1, 2)
  udp.writeUInt16BE(8, 4)
  const ethernet = Buffer.from(`${mac.replaceAll(':', '')}0200000000010800`, 'hex')
  return Buffer.concat([ethernet, header, udp]).toString('hex')
}

const DROP = `table inet bench {
  chain input { type filter hook input priority 50; iifname "${INTERFACE}" drop; }
}`
const TRACK = `table inet tracking {
  chain input { type filter hook input priority 0; ct state invalid drop; }
}`

const [host, others] = ['a', 'b'].map((end) => new Namespace(`nxbp${process.pid}${end}`)) as [
  Namespace,
  Namespace,
]
async function layOut(): Promise<string> {
  for (const { name } of [host, others]) await run('ip', ['netns', 'add', name])
  const peer = ['type', 'veth', 'peer', 'name', 'far', 'netns', others.name]
  await run('ip', ['link', 'add', INTERFACE, 'netns', host.name, ...peer])
  await others.exec('ip', 'link', 'set', 'far', 'up')
  const address = String(before.own.prefixes[0])
  await host.batch('ip', [
    `link set ${INTERFACE} up`,
    `address add ${address} dev ${INTERFACE}`,
    `route add 100.64.0.0/10 dev ${INTERFACE}`,
  ])
  await host.batch('nft', [DROP])
  return (await host.exec('cat', `/sys/class/net/${INTERFACE}/address`)).trim()
}

async function packetNs(hex: string): Promise<number> {
  const script = new URL('policy-flood.py', import.meta.url).pathname
  const rounds: number[] = []
  for (let round = 0; round < Math.min(5, options.rounds); round += 1) {
    rounds.push(Number(await others.exec('python3', script, 'far', hex, String(options.packets))))
  }
  return Math.min(...rounds)
}

async function measureChange() {
  const apply = (text: string): Promise<void> => host.batch('nft', [text])
  const kernel: number[] = []
  const [compile, load, change]: number[][] = [[], [], []]
  const [first, second] = [textOf(before), textOf(after)]
  for (let round = 0; round < options.rounds; round += 1) {
    const kilobytes = kernelKilobytes()
    compile?.push(spentMs(() => textOf(round % 2 === 0 ? before : after)))
    load?.push(await timed(() => apply(first)))
    change?.push(await timed(() => apply(second)))
    kernel.push(kernelKilobytes() - kilobytes)
    await apply(removalText(tableName(INTERFACE)))
  }
  const nothing = await timed(() => apply('list tables'))
  return { compile, load, change, kernel, nothing, kilobytes: first.length / 1024 }
}

/** Nanoseconds of a packet inside the process: of a flow that is known, and the first of a flow. */
async function insideNs(hex: string): Promise<readonly [number, number]> {
  let now = 0
  const filter = new FlowFilter({ monotonicMs: () => now })
  await filter.enforce(before)
  const packet = Buffer.from(hex, 'hex').subarray(14)
  const spend = (task: (index: number) => void): number => {
    const begun = process.cpuUsage()
    for (let index = 0; index < options.packets; index += 1) task(index)
    const { user, system } = process.cpuUsage(begun)
    return ((user + system) * 1000) / options.packets
  }
  const known = () => {
    if (!filter.passes(packet, 'arriving')) throw new Error('the flow does not pass')
  }
  spend(known)
  const fresh = (index: number): void => {
    packet.writeUInt16BE(1 + (index % 65_000), 20)
    if (index % 65_000 === 0) now += 1e9
    known()
  }
  return [spend(known), spend(fresh)]
}

try {
  const hex = frame(await layOut())
  const { compile, load, change, kernel, nothing, kilobytes } = await measureChange()
  const bare = await packetNs(hex)
  await host.batch('nft', [TRACK])
  const tracked = await packetNs(hex)
  await host.batch('nft', [textOf(before)])
  const judged = await packetNs(hex)
  const passed = /packets (\d+)/.exec(
    await host.exec('nft', 'list', 'chain', 'inet', tableName(INTERFACE), 'inbound'),
  )
  if (passed !== null && Number(passed[1]) > 0)
    throw new Error('the policy denies what is measured')
  const [known, fresh] = await insideNs(hex)
  const ms = (samples: readonly number[] | undefined): string =>
    `${median(samples ?? []).toFixed(1)} ms`
  const ns = (value: number): string => `${Math.round(value)} ns`
  process.stdout.write(`${machine()}
${options.devices} devices, ${options.prefixes} prefixes, ${options.rules} rules; medians of ${options.rounds}
${columns(
  ['WHAT', 'COST'],
  [
    ['compile, to the text of the table (processor time)', ms(compile)],
    ['size of that text', `${kilobytes.toFixed(0)} kB`],
    ['nft: put it in force', ms(load)],
    ['nft: change it, one transaction', ms(change)],
    ['nft: start and list nothing, for comparison', `${nothing.toFixed(1)} ms`],
    ['memory of the kernel', `${median(kernel)} kB`],
    ['a packet of a flow that passes, over the cable alone', ns(bare)],
    ['the same with conntrack', `${ns(tracked)}, ${ns(tracked - bare)} more`],
    ['the same with conntrack and the policy', `${ns(judged)}, ${ns(judged - tracked)} more`],
    ['inside the process: of a flow that is known', ns(known)],
    ['inside the process: first of a flow', ns(fresh)],
  ],
)}
`)
} finally {
  for (const each of [host, others]) each.remove()
}
