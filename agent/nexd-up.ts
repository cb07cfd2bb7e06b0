/** What `nexd up` does once its options are read; loaded apart, so that help and errors come at once. */
import { hostname } from 'node:os'
import { isHostPrefix, parsePrefix } from '../protocol/address.ts'
import type { LogLevel } from '../protocol/log.ts'
import type { Role } from '../protocol/membership-certificate.ts'
import { parseRelayRate } from '../protocol/relay-rate.ts'
import {
  booleanField,
  fieldsOf,
  numberField,
  optionalText,
  textField,
  textsOf,
  wordField,
} from './json-fields.ts'
import { keptLogLines } from './log-lines.ts'
import { pacedLog } from './paced-log.ts'
import type { ProxyOptionValues } from './proxy/proxy-options.ts'
import type { Asks } from './registry-client.ts'
import { systemClock } from './system-clock.ts'
import { runUp, type UpOptions } from './up.ts'

const BACKENDS = ['auto', 'kernel', 'wireguard-go', 'tun', 'userspace'] as const
const LEVELS = ['debug', 'info', 'warn', 'error'] as const

/** What the command line gave, its choices and numbers already checked there. */
function parseOptions(
  raw: unknown,
): Omit<UpOptions, 'log' | 'openLog' | 'announce' | 'waiting'> & { logLevel: LogLevel } {
  const fields = fieldsOf(raw, 'options')
  return {
    registry: optionalText(fields, 'registry'),
    registrationKey: optionalText(fields, 'registrationKey'),
    name: optionalText(fields, 'name') ?? hostname(),
    asks: asksOf(fields),
    requestedAddress: optionalText(fields, 'requestIp'),
    stateDir: textField(fields, 'stateDir'),
    socket: textField(fields, 'socket'),
    interfaceName: textField(fields, 'interface'),
    backend: wordField(fields, 'backend', BACKENDS),
    listenPort: numberField(fields, 'listenPort'),
    meshListen: listOf(fields['meshListen'], 'meshListen'),
    mdns: booleanField(fields, 'mdns'),
    portMapping: booleanField(fields, 'portMapping'),
    spray: booleanField(fields, 'spray'),
    relayRate: parseRelayRate(textField(fields, 'relayRate')),
    logLevel: wordField(fields, 'logLevel', LEVELS),
  }
}

/** Runs until SIGINT or SIGTERM. Throws what the operator must know. @param proxy what `nexd proxy` was given */
export async function up(raw: unknown, proxy?: ProxyOptionValues): Promise<void> {
  const options = { ...parseOptions(raw), proxy }
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())
  const { log: write, open } = keptLogLines(options.logLevel, systemClock)
  const log = pacedLog(write, systemClock)
  try {
    await runUp({ ...options, log, openLog: open, announce, waiting }, stop.signal)
  } finally {
    await open()
  }
}

/** A list, or from the environment one text, separated by commas. */
function listOf(value: unknown, field: string): readonly string[] {
  if (value === undefined) return []
  return typeof value === 'string' ? value.split(',') : textsOf(value, field)
}

/** Throws MalformedError. */
function asksOf(fields: Readonly<Record<string, unknown>>): Asks {
  const prefixes = listOf(fields['advertiseCidr'], 'advertiseCidr').map(parsePrefix)
  const isRouter = prefixes.some((prefix) => !isHostPrefix(prefix))
  const roles: Role[] = []
  if (isRouter) roles.push('router')
  if (fields['exitNode'] === true) roles.push('exit-node')
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
