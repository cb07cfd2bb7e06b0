/** Where the rendezvous listens, as configured or, where nothing is, as follows from the web's address. */
import { isIP } from 'node:net'
import { type Config, ConfigError, formatHostPort, type HostPort, isWildcard } from '../config.ts'

/** libp2p's customary port, and STUN's (RFC 8489 §18.6). */
const LIBP2P_PORT = 4001
const STUN_PORT = 3478

export interface Listening {
  /** TCP multiaddrs. */
  readonly listen: readonly string[]
  /** UDP. */
  readonly stunListen: readonly HostPort[]
}

export function listeningOf(config: Config): Listening {
  const { listen, rendezvousListen, stunListen } = config
  // Who lets the system choose one port wants none of the others fixed.
  const chosen = (port: number): number => (listen.port === 0 ? 0 : port)
  return {
    listen:
      rendezvousListen.length > 0
        ? rendezvousListen
        : hostsOf(listen.host).map((host) => multiaddrOf(host, chosen(LIBP2P_PORT))),
    stunListen: hostsOf(stunListen?.host ?? listen.host).map((host) => ({
      host,
      port: stunListen?.port ?? chosen(STUN_PORT),
    })),
  }
}

/** All IPv4 addresses means all IPv6 ones too. A name is one of this machine. */
function hostsOf(host: string): readonly string[] {
  if (host === '0.0.0.0') return ['0.0.0.0', '::']
  return [host === 'localhost' ? '127.0.0.1' : host]
}

function multiaddrOf(host: string, port: number): string {
  const family = isIP(host)
  return `/${family === 0 ? 'dns' : `ip${family}`}/${host}/tcp/${port}`
}

/** What the operator can do about an address that can't be listened on. */
export function cannotListen(
  option: string,
  where: readonly string[],
  cause: unknown,
): ConfigError {
  const text = cause instanceof Error ? cause.message : String(cause)
  const why = /EADDRINUSE/.test(text)
    ? 'the port is taken (stop what uses it, or choose another)'
    : /EADDRNOTAVAIL/.test(text)
      ? 'this machine has no such address'
      : /EACCES/.test(text)
        ? 'not permitted (choose a port above 1023, or run as root)'
        : (text.split('\n').find((line) => line.trim() !== '') ?? 'unknown')
  return new ConfigError(`${option} ${where.join(' ')}: ${why}`, { cause })
}

/** IPv6 may be missing where IPv4 is not: then all addresses are all IPv4 ones. */
export function isMissingIpv6({ host }: HostPort, cause: unknown): boolean {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
  return isWildcard(host) && isIP(host) === 6 && code === 'EAFNOSUPPORT'
}

export function stunText(listen: readonly HostPort[]): readonly string[] {
  return listen.map(formatHostPort)
}
