/** What `nexd up` does once its options are read; loaded apart, so that help and errors come at once. */
import { hostname } from 'node:os'
import { pino } from 'pino'
import { z } from 'zod'
import type { Log } from '../protocol/log.ts'
import { parseRelayRate } from '../protocol/relay-rate.ts'
import { runUp } from './up.ts'

const UP = z.object({
  registry: z.string().optional(),
  registrationKey: z.string().optional(),
  name: z.string().optional(),
  stateDir: z.string(),
  socket: z.string(),
  interface: z.string(),
  backend: z.enum(['auto', 'kernel', 'wireguard-go']),
  listenPort: z.number(),
  /** From the environment they come as one text, separated by commas. */
  meshListen: z.union([z.array(z.string()), z.string().transform((text) => text.split(','))]),
  mdns: z.boolean(),
  relayRate: z.string().transform(parseRelayRate),
  logLevel: z.enum(['debug', 'info', 'warn', 'error']),
})

/** Runs until SIGINT or SIGTERM. Throws what the operator must know. */
export async function up(raw: unknown): Promise<void> {
  const options = UP.parse(raw)
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())
  await runUp(
    {
      ...options,
      name: options.name ?? hostname(),
      interfaceName: options.interface,
      log: logTo(options.logLevel),
      announce,
    },
    stop.signal,
  )
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
