/** The log: JSON lines on standard error by pino, with secrets struck out. */
import { pino } from 'pino'
import type { Log, LogLevel } from '../protocol/log.ts'

/** Field names whose values never belong in a log, at the top or one level down. */
const SECRETS = [
  'accessToken',
  'access_token',
  'authorization',
  'clientSecret',
  'cookie',
  'deviceCode',
  'device_code',
  'idToken',
  'id_token',
  'password',
  'privateKey',
  'registrationKey',
  'secret',
  'session',
  'setupUrl',
  'token',
]

/** Errors among the fields are written as their message, code and stack.
 *  @param fd where lines go: standard error */
export function createLog(level: LogLevel, fd = 2): Log {
  const logger = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      messageKey: 'event',
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: SECRETS.flatMap((name) => [name, `*.${name}`]), censor: '[secret]' },
      serializers: { error: pino.stdSerializers.err },
    },
    pino.destination({ fd, sync: true }),
  )
  return (at, event, fields = {}) => logger[at](fields, event)
}
