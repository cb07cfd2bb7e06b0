/** What `nexd up` does once its options are read; loaded apart, so that help and errors come at once. */
import { hostname } from 'node:os'
import { isDefaultPrefix, isHostPrefix } from '../protocol/address.ts'
import type { LogLevel } from '../protocol/log.ts'
import type { Role } from '../protocol/membership-certificate.ts'
import { parseRelayRate } from '../protocol/relay-rate.ts'
import { explain } from './errors.ts'
import { requirePrivileges } from './host-side.ts'
import {
  booleanField,
  type Fields,
  fieldsOf,
  numberField,
  optionalText,
  textField,
  textsOf,
  wordField,
} from './json-fields.ts'
import { keptLogLines } from './log-lines.ts'
import { firstNeighbourhood } from './organizations/first.ts'
import { furtherLabel, furtherNeighbourhood, labelled } from './organizations/further.ts'
import { pacedLog } from './paced-log.ts'
import type { ProxyOptionValues } from './proxy/proxy-options.ts'
import type { Asks } from './registry-client.ts'
import { type RouterOptionValues, routerOptionsOf } from './routes/router-options.ts'
import { systemClock } from './system-clock.ts'
import { chosenBackend } from './tunnel/detect.ts'
import { runUp, type UpOptions } from './up.ts'

const BACKENDS = ['auto', 'kernel', 'wireguard-go', 'tun', 'userspace'] as const
const LEVELS = ['debug', 'info', 'warn', 'error'] as const

/** What the command line gave, its choices and numbers already checked there. */
function parseOptions(raw: unknown): Omit<
  UpOptions,
  'log' | 'openLog' | 'announce' | 'waiting' | 'neighbourhood'
> & {
  logLevel: LogLevel
} {
  const fields = fieldsOf(raw, 'options')
  const router = routerOptionsOf(fields)
  return {
    registry: optionalText(fields, 'registry'),
    registrationKey: optionalText(fields, 'registrationKey'),
    name: optionalText(fields, 'name') ?? hostname(),
    asks: asksOf(router),
    requestedAddress: optionalText(fields, 'requestIp'),
    stateDir: textField(fields, 'stateDir'),
    socket: textField(fields, 'socket'),
    interfaceName: textField(fields, 'interface'),
    backend: wordField(fields, 'backend', BACKENDS),
    listenPort: numberField(fields, 'listenPort'),
    meshListen: listOf(fields['meshListen'], 'meshListen'),
    mdns: booleanField(fields, 'mdns'),
    portMapping: booleanField(fields, 'portMapping'),
    names: booleanField(fields, 'names'),
    spray: booleanField(fields, 'spray'),
    relayRate: parseRelayRate(textField(fields, 'relayRate')),
    logLevel: wordField(fields, 'logLevel', LEVELS),
    ...router,
  }
}

/** Runs until SIGINT or SIGTERM. Throws what the operator must know. @param proxy what `nexd proxy` was given */
export async function up(raw: unknown, proxy?: ProxyOptionValues): Promise<void> {
  const options = { ...parseOptions(raw), proxy }
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())
  const { log: write, open } = keptLogLines(options.logLevel, systemClock)
  const log = pacedLog(write, systemClock)
  const further = furtherLabel()
  const isHostShared = chosenBackend(options.backend) !== 'userspace'
  try {
    if (further !== undefined) {
      const own = { ...options, log: labelled(log, further), openLog: open }
      return await runFurther(own, isHostShared, stop)
    }
    const shared = { ...options, shared: sharedOptions(fieldsOf(raw, 'options')) }
    requirePrivileges(options.backend)
    const of = { ...shared, isHostShared, stop: stop.signal, log }
    const neighbourhood = await firstNeighbourhood(of)
    await runUp({ ...options, neighbourhood, log, openLog: open, announce, waiting }, stop.signal)
  } finally {
    await open()
  }
}

/** Another organization's, started by the process of the first one. */
async function runFurther(
  options: Omit<UpOptions, 'announce' | 'waiting' | 'neighbourhood'>,
  isHostShared: boolean,
  stop: AbortController,
): Promise<void> {
  const neighbourhood = furtherNeighbourhood(isHostShared, () => stop.abort())
  const { announce, waiting } = neighbourhood
  try {
    await runUp({ ...options, neighbourhood, announce, waiting }, stop.signal)
  } catch (error) {
    neighbourhood.ending(explain(error))
    throw error
  }
}

/** What every organization of the agent is run with. */
function sharedOptions(fields: Fields): readonly string[] {
  const isOff = (name: string): boolean => fields[name] === false
  return [
    ...['--backend', textField(fields, 'backend'), '--relay-rate', textField(fields, 'relayRate')],
    ...['--name', optionalText(fields, 'name') ?? hostname()],
    ...['--log-level', textField(fields, 'logLevel')],
    ...(isOff('mdns') ? ['--no-mdns'] : []),
    ...(isOff('portMapping') ? ['--no-port-mapping'] : []),
    ...(isOff('names') ? ['--no-names'] : []),
    ...(fields['spray'] === true ? ['--spray'] : []),
  ]
}

/** A list, or from the environment one text, separated by commas. */
function listOf(value: unknown, field: string): readonly string[] {
  if (value === undefined) return []
  return typeof value === 'string' ? value.split(',') : textsOf(value, field)
}

/** What is to be advertised is to be granted first. */
function asksOf({ advertised }: RouterOptionValues): Asks {
  const prefixes = advertised.map(({ prefix }) => prefix)
  const roles: Role[] = []
  if (prefixes.some((prefix) => !isHostPrefix(prefix) && !isDefaultPrefix(prefix)))
    roles.push('router')
  if (prefixes.some(isDefaultPrefix)) roles.push('exit-node')
  return { prefixes, roles }
}

function waiting(): void {
  process.stdout.write('Approved. An admin of the organization has to agree: waiting.\n')
}

function announce(code: string, link: string, fingerprint: string): void {
  process.stdout.write(
    `This device is not enrolled yet. Sign in, compare the fingerprint and approve it:
` +
      `  open: ${link}
  code: ${code}
  fingerprint: ${fingerprint}
`,
  )
}
