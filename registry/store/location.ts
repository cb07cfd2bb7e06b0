/** Where the records are, as an operator writes it: `level:DIRECTORY`, or
 *  `etcd://[user[:password]@]host:port[,host:port…][/prefix][?password-file=…&ca=…&cert=…&key=…]`
 *  (`etcds://` over TLS). */
import { resolve } from 'node:path'

export interface LevelLocation {
  readonly kind: 'level'
  /** Absolute. */
  readonly directory: string
}

export interface EtcdLocation {
  readonly kind: 'etcd'
  /** `http://host:port` or `https://host:port`, one a member. */
  readonly endpoints: readonly string[]
  /** Before every key; ends in `/`. */
  readonly prefix: string
  readonly user?: string
  /** From the URL; not both this and `passwordFile`. */
  readonly password?: string
  readonly passwordFile?: string
  /** PEM files. */
  readonly ca?: string
  readonly certificate?: string
  readonly key?: string
}

export type StoreLocation = LevelLocation | EtcdLocation

/** Text that names no store; the message says what part of it is wrong, never a password. */
export class LocationError extends Error {
  override readonly name = 'LocationError'
  readonly code = 'ERR_STORE_LOCATION'
}

const DEFAULT_PREFIX = 'nexodus'
const ENDPOINTS = 9
const PREFIX_CHARACTERS = 128

const WANT = 'want level:DIRECTORY or etcd://host:port[,host:port…][/prefix]'
const SHAPE = /^(etcds?):\/\/(?:([^@/?]*)@)?([^/?@]+)(?:\/([^?]*))?(?:\?(.*))?$/
const ENDPOINT = /^(?:\[[0-9a-fA-F:.]+\]|[^:\s[\]]+):(\d{1,5})$/

/** Throws LocationError. */
export function parseStoreLocation(text: string): StoreLocation {
  if (text.startsWith('level:')) return parseLevel(text.slice('level:'.length))
  const [, scheme, user, hosts = '', path = '', query = ''] = SHAPE.exec(text) ?? []
  if (scheme === undefined) throw new LocationError(WANT)
  if (user === undefined && text.includes('@')) {
    // What follows would be shown, and be part of a password.
    throw new LocationError('in user and password, "/", "?" and "@" are written %2F, %3F and %40')
  }
  const options = parseOptions(query, scheme)
  return {
    kind: 'etcd',
    endpoints: parseEndpoints(hosts, scheme === 'etcds' ? 'https' : 'http'),
    prefix: parsePrefix(path),
    ...parseCredentials(user, options),
    ...options,
  }
}

function parseLevel(path: string): LevelLocation {
  const directory = path.replace(/^\/\/(?=\/)/, '')
  if (directory === '' || directory.startsWith('//')) {
    throw new LocationError('want a directory after level:, such as level:./data')
  }
  return { kind: 'level', directory: resolve(directory) }
}

function parseEndpoints(hosts: string, scheme: string): readonly string[] {
  const parts = hosts.split(',')
  if (parts.length > ENDPOINTS) {
    throw new LocationError(`${parts.length} endpoints, at most ${ENDPOINTS} can be named`)
  }
  for (const part of parts) {
    const port = Number(ENDPOINT.exec(part)?.[1])
    if (!(port >= 1 && port <= 65535)) {
      throw new LocationError(`endpoint "${part}": want host:port, such as 10.0.0.1:2379`)
    }
  }
  return [...new Set(parts)].map((part) => `${scheme}://${part}`)
}

function parsePrefix(path: string): string {
  const prefix = path.replace(/\/+$/, '') || DEFAULT_PREFIX
  if (prefix.length > PREFIX_CHARACTERS || !/^[A-Za-z0-9._-]+(\/[A-Za-z0-9._-]+)*$/.test(prefix)) {
    throw new LocationError(
      `prefix "${prefix.slice(0, 80)}": want at most ${PREFIX_CHARACTERS} letters, digits, ".", "_", "-", and "/" between`,
    )
  }
  return `${prefix}/`
}

type Options = Pick<EtcdLocation, 'passwordFile' | 'ca' | 'certificate' | 'key'>
const NAMES: Readonly<Record<string, keyof Options>> = {
  'password-file': 'passwordFile',
  ca: 'ca',
  cert: 'certificate',
  key: 'key',
}

function parseOptions(query: string, scheme: string): Options {
  const found: { -readonly [name in keyof Options]?: string } = {}
  for (const [name, value] of new URLSearchParams(query)) {
    const known = NAMES[name]
    if (known === undefined || value === '') {
      throw new LocationError(
        known === undefined
          ? `option "${name}" is unknown: want ${Object.keys(NAMES).join(', ')}`
          : `option "${name}" has no value`,
      )
    }
    if (known !== 'passwordFile' && scheme === 'etcd') {
      throw new LocationError(`option "${name}" is of use over TLS only: want etcds://`)
    }
    found[known] = resolve(value)
  }
  if ((found.certificate === undefined) !== (found.key === undefined)) {
    throw new LocationError('options "cert" and "key" are of use together only')
  }
  return found
}

function parseCredentials(
  text: string | undefined,
  { passwordFile }: Options,
): Pick<EtcdLocation, 'user' | 'password'> {
  const [user = '', ...rest] = (text ?? '').split(':')
  const password = rest.length === 0 ? undefined : rest.join(':')
  if (text === undefined && passwordFile === undefined) return {}
  if (user === '') throw new LocationError('a password needs its user: want etcd://user@host:port')
  if ((password === undefined) === (passwordFile === undefined)) {
    throw new LocationError(
      `user "${user}" needs one password: after it (user:password@), or in the file of "?password-file="`,
    )
  }
  try {
    return {
      user: decodeURIComponent(user),
      ...(password !== undefined && { password: decodeURIComponent(password) }),
    }
  } catch (cause) {
    throw new LocationError('user or password: "%" must begin an escape, such as %40 for "@"', {
      cause,
    })
  }
}

/** For logs and messages: without a password. */
export function formatStoreLocation(location: StoreLocation): string {
  if (location.kind === 'level') return `level:${location.directory}`
  const [first = ''] = location.endpoints
  const scheme = first.startsWith('https:') ? 'etcds' : 'etcd'
  const hosts = location.endpoints.map((endpoint) => endpoint.replace(/^https?:\/\//, ''))
  const user = location.user === undefined ? '' : `${encodeURIComponent(location.user)}@`
  return `${scheme}://${user}${hosts.join(',')}/${location.prefix.slice(0, -1)}`
}
