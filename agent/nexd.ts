/** nexd: the agent. `nexd up` enrols this device if need be, then runs until it is told to stop. Started by
 *  nexd.js. */
import { Command, InvalidArgumentError, Option } from 'commander'
import { parseRelayRate } from '../protocol/relay-rate.ts'
import { defaultStateDirectory, keepCompiledCode } from './compile-cache.js'
import { defaultSocket, LISTEN_PORT, MESH_PORT, RELAY_RATE, VERSION } from './defaults.ts'
import { explain } from './errors.ts'
import { addProxyOptions, type ProxyOptionValues } from './proxy/proxy-options.ts'
import { addRouterOptions } from './routes/router-options.ts'

const program = new Command('nexd')
  .description('The Nexodus agent: connects this device to the others of its organization.')
  .version(VERSION)
  .showHelpAfterError('(nexd up --help lists the options)')

const up = program
  .command('up')
  .description('enrol this device if it is not yet, and run')
  .addOption(
    new Option(
      '--registry <url>',
      'the registry, as https://host or https://host#organization',
    ).env('NEXODUS_REGISTRY'),
  )
  .addOption(
    new Option('--registration-key <key>', 'enrol without a person (nrk_…)').env(
      'NEXODUS_REGISTRATION_KEY',
    ),
  )
  .addOption(new Option('--name <name>', "this device's name (a DNS label)").env('NEXODUS_NAME'))
  .addOption(
    new Option(
      '--request-ip <address>',
      'an address of the organization that it wants to have',
    ).env('NEXODUS_REQUEST_IP'),
  )
  .addOption(
    new Option('--state-dir <folder>', 'keys and all that is known')
      .default(defaultStateDirectory())
      .env('NEXODUS_STATE_DIR'),
  )
  .addOption(
    new Option('--socket <path>', 'the local API, for nexctl')
      .default(defaultSocket())
      .env('NEXODUS_SOCKET'),
  )
  .addOption(
    new Option('--interface <name>', "WireGuard's interface")
      .default('nexodus0')
      .env('NEXODUS_INTERFACE'),
  )
  .addOption(
    new Option(
      '--backend <name>',
      'what carries WireGuard; userspace needs no privilege, tun no wireguard-go',
    )
      .choices(['auto', 'kernel', 'wireguard-go', 'tun', 'userspace'])
      .default('auto')
      .env('NEXODUS_BACKEND'),
  )
  .addOption(
    new Option(
      '--listen-port <port>',
      "WireGuard's UDP port; checks use it too, by way of the next one",
    )
      .default(LISTEN_PORT)
      .argParser(port)
      .env('NEXODUS_LISTEN_PORT'),
  )
  .addOption(
    new Option('--mesh-listen <multiaddr...>', 'where the mesh listens')
      .default([`/ip4/0.0.0.0/tcp/${MESH_PORT}`, `/ip6/::/tcp/${MESH_PORT}`])
      .env('NEXODUS_MESH_LISTEN'),
  )
  .addOption(
    new Option('--relay-rate <Mbit/s>', 'relayed for others: in all, or in all:of one member')
      .default(RELAY_RATE)
      .argParser(relayRate)
      .env('NEXODUS_RELAY_RATE'),
  )
  .option('--no-mdns', 'do not look for peers on the local network by multicast')
  .addOption(
    new Option(
      '--no-port-mapping',
      'do not ask the router to let WireGuard in (PCP, NAT-PMP, UPnP)',
    ).env('NEXODUS_NO_PORT_MAPPING'),
  )
  .addOption(
    new Option(
      '--spray',
      'meet NATs that map anew for each peer by trying many of their ports; the peer must, too',
    )
      .default(false)
      .env('NEXODUS_SPRAY'),
  )
  .addOption(
    new Option(
      '--no-names',
      "leave this host's resolver and /etc/hosts as they are: no names of other devices",
    ).env('NEXODUS_NO_NAMES'),
  )
  .addOption(
    new Option('--log-level <level>', 'least level that is logged')
      .choices(['debug', 'info', 'warn', 'error'])
      .default('info')
      .env('NEXODUS_LOG_LEVEL'),
  )
  .action((raw: unknown) => run(raw))

const proxy = addProxyOptions(
  program
    .command('proxy')
    .description(
      'enrol this device if it is not yet, and run without any privilege: ports of the mesh go to hosts of the local network, and ports of this host into the mesh',
    ),
)
for (const option of up.options)
  if (!['backend', 'interface'].includes(option.attributeName())) proxy.addOption(option)
proxy.action((raw: object) =>
  run({ ...up.opts(), ...raw, backend: 'userspace' }, proxy.opts<ProxyOptionValues>()),
)

addRouterOptions(up)
const router = program
  .command('router')
  .description(
    'enrol this device if it is not yet, and run as a way to networks behind it (nexd up takes the same options)',
  )
for (const option of up.options) router.addOption(option)
router.action((raw: unknown) => run(raw))

async function run(raw: unknown, ofProxy?: ProxyOptionValues): Promise<void> {
  if (raw !== null && typeof raw === 'object' && 'stateDir' in raw)
    keepCompiledCode(String(raw.stateDir))
  const { up: runUp } = await import('./nexd-up.ts')
  await runUp(raw, ofProxy)
  // Libraries may keep timers for a second; all of ours have ended.
  process.exit(0)
}

/** As text, once it has been read: a mistake is the command line's. */
function relayRate(text: string): string {
  try {
    parseRelayRate(text)
    return text
  } catch (error) {
    throw new InvalidArgumentError(explain(error))
  }
}

function port(text: string): number {
  const value = Number(text)
  if (Number.isInteger(value) && value >= 1 && value <= 65_534) return value
  throw new InvalidArgumentError('want 1 to 65534')
}

program.parseAsync().catch((error: unknown) => {
  process.stderr.write(`nexd: ${explain(error)}\n`)
  process.exit(1)
})
