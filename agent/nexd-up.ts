/** What `nexd up` does once its options are read; loaded apart, so that help and errors come at once. */
import { hostname } from 'node:os'
import { pino } from 'pino'
import type { Log, LogLevel } from '../protocol/log.ts'
import {
  booleanField,
  fieldsOf,
  numberField,
  optionalText,
  textField,
  textsOf,
  wordField,
} from './json-fields.ts'
import { runUp, type UpOptions } from './up.ts'

const BACKENDS = ['auto', 'kernel', 'wireguard-go'] as const
const LEVELS = ['debug', 'info', 'warn', 'error'] as const

/** What the command line gave, its choices and numbers already checked there. */
function parseOptions(raw: unknown): Omit<UpOptions, 'log' | 'announce'> & { logLevel: LogLevel } {
  const fields = fieldsOf(raw, 'options')
  const meshListen = fields['meshListen']
  return {
    registry: optionalText(fields, 'registry'),
    registrationKey: optionalText(fields, 'registrationKey'),
    name: optionalText(fields, 'name') ?? hostname(),
    stateDir: textField(fields, 'stateDir'),
    socket: textField(fields, 'socket'),
    interfaceName: textField(fields, 'interface'),
    backend: wordField(fields, 'backend', BACKENDS),
    listenPort: numberField(fields, 'listenPort'),
    // From the environment they come as one text, separated by commas.
    meshListen:
      typeof meshListen === 'string' ? meshListen.split(',') : textsOf(meshListen, 'meshListen'),
    mdns: booleanField(fields, 'mdns'),
    logLevel: wordField(fields, 'logLevel', LEVELS),
  }
}

/** Runs until SIGINT or SIGTERM. Throws what the operator must know. */
export async function up(raw: unknown): Promise<void> {
  const options = parseOptions(raw)
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())
  await runUp({ ...options, log: logTo(options.logLevel), announce }, stop.signal)
}

/** JSON lines on standard error, for the journal. */
function logTo(level: string): Log {
  const logger = pino(
    {
      level,
      base: null,
      formatters: { level: (label) => ({ level: label }) },
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: ['*.privateKey', '*.registrationKey', '*.token'],
    },
    pino.destination(2),
  )
  return (at, event, fields = {}) => logger[at]({ event, ...fields })
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
