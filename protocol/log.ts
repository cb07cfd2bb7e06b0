/** One log line as the shells write it; `event` is a dotted name from the glossary (`peer.path-changed`). */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** Structured, for the operator; never given a secret. */
export type Log = (level: LogLevel, event: string, fields?: Record<string, unknown>) => void
