/** Options of the registry about its records and keys, which its program and its store command have alike. */
import { homedir } from 'node:os'
import { join } from 'node:path'
import { Option } from 'commander'
import { ConfigError } from './config.ts'
import { LocationError, parseStoreLocation, type StoreLocation } from './store/location.ts'

/** With its environment equivalent, `NEXODUS_REGISTRY_…`. */
export function option(flags: string, text: string): Option {
  const made = new Option(flags, text)
  return made.env(`NEXODUS_REGISTRY_${made.name().toUpperCase().replaceAll('-', '_')}`)
}

export function stateDirectoryOption(): Option {
  return option('--state-dir <directory>', 'keys and records').default(defaultStateDirectory())
}

function defaultStateDirectory(): string {
  const root = process.getuid?.() === 0
  return root ? '/var/lib/nexodus-registry' : join(homedir(), '.nexodus-registry')
}

export function storeOption(): Option {
  return option(
    '--store <url>',
    'records: level:DIRECTORY, or etcd://[user@]host:port,…[/prefix][?password-file=FILE] (etcds:// over TLS, with ?ca=FILE&cert=FILE&key=FILE); default: level in the state directory',
  ).argParser((text) => parseLocation('--store', text))
}

export function keyEncryptionKeyOption(): Option {
  return option(
    '--key-encryption-key-file <file>',
    'seals signing keys into the store; the same at every registry of an etcd store',
  )
}

export function otherKeyEncryptionKeyOption(): Option {
  return option(
    '--other-key-encryption-key-file <file>',
    'opens what it has sealed, while "store change-key" runs and until every registry has the new key',
  )
}

/** Throws ConfigError. Not commander's own error: that shows the text, which may hold a password.
 *  @param name of the option or argument */
export function parseLocation(name: string, text: string): StoreLocation {
  try {
    return parseStoreLocation(text)
  } catch (cause) {
    if (cause instanceof LocationError)
      throw new ConfigError(`${name}: ${cause.message}`, { cause })
    throw cause
  }
}
