/** The registry's command line and its environment equivalents (`NEXODUS_REGISTRY_…`). */
import { Command, InvalidArgumentError, type Option } from 'commander'
import ipaddr from 'ipaddr.js'
import { MalformedError } from '../protocol/errors.ts'
import type { LogLevel } from '../protocol/log.ts'
import type { RelayRate } from '../protocol/relay-meter.ts'
import { parseRelayRate } from '../protocol/relay-rate.ts'
import { type Config, ConfigError, type HostPort, isWildcard, parseHostPort } from './config.ts'
import { applyConfigFile, configOption } from './config-file.ts'
import { type IdentityOptions, identityOptions, issuersOf } from './issuer-options.ts'
import type { StoreLocation } from './store/location.ts'
import { storeCommand } from './store-command.ts'
import {
  keyEncryptionKeyOption,
  option,
  otherKeyEncryptionKeyOption,
  stateDirectoryOption,
  storeOption,
} from './store-options.ts'

/** Mbit/s in all, and of one member: more than a small server's link, so that it is felt by floods alone. */
const RELAY_RATE = '1000:500'

interface Options extends IdentityOptions {
  stateDir: string
  store?: StoreLocation
  keyEncryptionKeyFile?: string
  otherKeyEncryptionKeyFile?: string
  listen: HostPort
  publicUrl?: URL
  tlsCert?: string
  tlsKey?: string
  metricsListen?: HostPort
  trustedProxies: string[]
  rendezvousListen: string[]
  rendezvousAnnounce: string[]
  stunListen?: HostPort
  stunAnnounce: string[]
  relayRate: RelayRate
  logLevel: LogLevel
}

/** @param version shown by --version
 *  @param run called with the configuration once command line, environment and file are read
 *  @param warn told what is better mended, though all goes on */
export function registryCommand(
  version: string,
  run: (config: Config) => Promise<void>,
  warn: (text: string) => void,
): Command {
  const command = new Command('nexodus-registry')
    .description('Nexodus registry: enrols devices, issues their certificates, helps them meet.')
    .version(version)
    // So that --state-dir after `store` is that of the store command.
    .enablePositionalOptions()
    .addHelpText(
      'after',
      '\nWith no option it serves http://127.0.0.1:3000 and prints a set-up link.\n' +
        'A flag counts before the environment, and both before the file of --config.',
    )
  const options = optionList()
  for (const each of [configOption(), ...options]) command.addOption(each)
  command.addCommand(storeCommand())
  command.hook('preAction', (_, acting) => applyConfigFile(acting, options, warn))
  return command.action((options: Options) => run(configOf(options)))
}

function optionList(): Option[] {
  return [
    stateDirectoryOption(),
    storeOption(),
    keyEncryptionKeyOption(),
    otherKeyEncryptionKeyOption(),
    option('--listen <host:port>', 'address of the web pages and the API')
      .argParser(parseHostPort)
      .default({ host: '127.0.0.1', port: 3000 }, '127.0.0.1:3000'),
    option('--public-url <url>', 'as browsers and agents reach it').argParser(parseOrigin),
    option(
      '--tls-cert <file>',
      'PEM certificate chain: serves https, and reads it again on change',
    ),
    option('--tls-key <file>', 'its PEM key'),
    option('--metrics-listen <host:port>', 'address of /metrics, for Prometheus').argParser(
      parseHostPort,
    ),
    option('--trusted-proxies <list>', 'addresses or prefixes whose X-Forwarded-* are believed')
      .argParser(parseProxies)
      .default([], 'none'),
    option('--insecure-http', 'allow sign-in over http that others can read (laboratories only)'),
    option('--log-level <level>', 'least important line that is logged')
      .choices(['debug', 'info', 'warn', 'error'])
      .default('info'),
    ...identityOptions(option, { url: parseUrl, list: parseList }),
    ...rendezvousOptions(),
  ]
}

function rendezvousOptions(): Option[] {
  const list = (flags: string, text: string, standard: string) =>
    option(flags, text).argParser(parseMore).default([], standard)
  return [
    list(
      '--rendezvous-listen <list>',
      'its TCP multiaddrs; several ports too',
      '/ip4/<listen host>/tcp/4001',
    ),
    list('--rendezvous-announce <list>', 'multiaddrs told to agents', 'those it listens on'),
    option('--stun-listen <host:port>', 'UDP address of the STUN responder').argParser(
      parseHostPort,
    ),
    list('--stun-announce <list>', 'ip:port told to agents', 'that it listens on'),
    option('--relay-rate <Mbit/s>', 'carried for others: in all, or in all:of one member')
      .argParser(parseRate)
      .default(parseRelayRate(RELAY_RATE), RELAY_RATE),
  ]
}

function configOf(options: Options): Config {
  const { publicUrl, stunListen } = options
  const issuers = issuersOf(options)
  const tls = tlsOf(options)
  if (publicUrl === undefined && isWildcard(options.listen.host)) {
    throw new ConfigError(
      `--public-url is needed when listening on all addresses (--listen ${options.listen.host}:${options.listen.port})`,
    )
  }
  return {
    stateDirectory: options.stateDir,
    ...(options.store !== undefined && { store: options.store }),
    ...(options.keyEncryptionKeyFile !== undefined && {
      keyEncryptionKeyFile: options.keyEncryptionKeyFile,
    }),
    ...(options.otherKeyEncryptionKeyFile !== undefined && {
      otherKeyEncryptionKeyFile: options.otherKeyEncryptionKeyFile,
    }),
    listen: options.listen,
    ...(tls !== undefined && { tls }),
    ...(options.metricsListen !== undefined && { metricsListen: options.metricsListen }),
    ...(publicUrl !== undefined && { publicUrl }),
    trustedProxies: options.trustedProxies,
    issuers,
    insecureHttp: options.insecureHttp ?? false,
    rendezvousListen: options.rendezvousListen,
    rendezvousAnnounce: options.rendezvousAnnounce,
    ...(stunListen !== undefined && { stunListen }),
    stunAnnounce: options.stunAnnounce,
    relayRate: options.relayRate,
    logLevel: options.logLevel,
  }
}

function tlsOf({ tlsCert: cert, tlsKey: key }: Options): Config['tls'] {
  if (cert !== undefined && key !== undefined) return { cert, key }
  if (cert === undefined && key === undefined) return undefined
  throw new ConfigError(
    cert === undefined ? '--tls-key needs --tls-cert' : '--tls-cert needs --tls-key',
  )
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new InvalidArgumentError('want an http or https URL')
  }
  return url
}

function parseOrigin(text: string): URL {
  const url = parseUrl(text)
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '' || url.username !== '') {
    throw new InvalidArgumentError(
      'want scheme, host and port only, such as https://nexodus.example',
    )
  }
  return url
}

function parseList(text: string): string[] {
  return text.split(/[\s,]+/).filter((part) => part !== '')
}

/** Repeated, an option adds to its list. */
function parseMore(text: string, before: readonly string[]): string[] {
  return [...before, ...parseList(text)]
}

function parseRate(text: string): RelayRate {
  try {
    return parseRelayRate(text)
  } catch (error) {
    if (error instanceof MalformedError) throw new InvalidArgumentError(error.message)
    throw error
  }
}

function parseProxies(text: string): string[] {
  const proxies = parseList(text)
  for (const proxy of proxies) {
    const [address = '', length] = proxy.split('/')
    const valid = length === undefined ? ipaddr.isValid(address) : ipaddr.isValidCIDR(proxy)
    if (!valid) throw new InvalidArgumentError(`"${proxy}" is no IP address or prefix`)
  }
  return proxies
}
