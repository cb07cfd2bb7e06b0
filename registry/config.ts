/** The registry's configuration, as parsed from the command line and the environment. */
import { InvalidArgumentError } from 'commander'
import ipaddr from 'ipaddr.js'
import type { LogLevel } from '../protocol/log.ts'
import type { RelayRate } from '../protocol/relay-meter.ts'
import type { StoreLocation } from './store/location.ts'

export interface HostPort {
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
}

/** How the registry is a client of an OpenID provider, and whom of that it lets in. */
export interface IssuerConfig {
  readonly url: URL
  readonly clientId: string
  readonly clientSecretFile?: string
  readonly clientAuthentication: 'client_secret_post' | 'client_secret_basic' | 'none'
  readonly scopes: string
  /** On the sign-in page, where there are several; absent: the host's name. */
  readonly label?: string
  /** In lower case: only users with a verified e-mail address in one of these; absent: all. */
  readonly emailDomains?: readonly string[]
  /** Its users' addresses count as verified though it does not say so. */
  readonly trustEmail?: boolean
  /** The claim with the user's groups; absent: `groups`. */
  readonly groupsClaim?: string
  /** Only members of one of these; absent: all. */
  readonly allowedGroups?: readonly string[]
  /** By group of the provider: the security group of the user's devices. */
  readonly groups?: Readonly<Record<string, string>>
}

export interface Config {
  readonly stateDirectory: string
  /** Absent: level, in the state directory. */
  readonly store?: StoreLocation
  /** Seals the signing keys into the store; absent: they are files of the state directory. */
  readonly keyEncryptionKeyFile?: string
  /** While keys are changed: the one of before, or the next; opens what it has sealed. */
  readonly otherKeyEncryptionKeyFile?: string
  readonly listen: HostPort
  /** Absent: http, for a proxy before it. */
  readonly tls?: { readonly cert: string; readonly key: string }
  /** Where Prometheus asks; absent: nowhere. */
  readonly metricsListen?: HostPort
  /** Where absent, it follows from `listen`. */
  readonly publicUrl?: URL
  /** Peers whose X-Forwarded-* headers are believed. */
  readonly trustedProxies: readonly string[]
  /** None: the embedded provider. */
  readonly issuers?: readonly IssuerConfig[]
  readonly insecureHttp: boolean
  /** TCP multiaddrs the rendezvous listens on; none: the host of `listen`, port 4001. */
  readonly rendezvousListen: readonly string[]
  /** Multiaddrs told to agents instead; none: those it listens on. */
  readonly rendezvousAnnounce: readonly string[]
  /** UDP; absent: the host of `listen`, port 3478. */
  readonly stunListen?: HostPort
  /** `ip:port` told to agents instead of `stunListen`. */
  readonly stunAnnounce: readonly string[]
  readonly relayRate: RelayRate
  readonly logLevel: LogLevel
}

/** A setting that cannot be used; the message names it, its value, and what to try. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly code = 'ERR_CONFIG'
}

/** Throws InvalidArgumentError, which commander reports with the option's name. */
export function parseHostPort(text: string): HostPort {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:\s]+)):(\d{1,5})$/.exec(text)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  if (host === undefined || port > 65535) {
    throw new InvalidArgumentError('want host:port, such as 127.0.0.1:3000 or [::1]:3000')
  }
  return { host, port }
}

export function formatHostPort({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** `hostname` as a URL gives it: `localhost`, an address of 127.0.0.0/8, or `[::1]`. */
export function isLoopback(hostname: string): boolean {
  const bare = hostname.replace(/^\[(.*)\]$/, '$1')
  if (bare === 'localhost') return true
  return ipaddr.isValid(bare) && ipaddr.process(bare).range() === 'loopback'
}

export function isWildcard(host: string): boolean {
  return ipaddr.isValid(host) && ipaddr.process(host).range() === 'unspecified'
}
