/** The host itself: its name, what it runs, and what the agent may do on it. */
import { readFileSync } from 'node:fs'
import { arch, release } from 'node:os'

/** Most bytes of a DNS label (RFC 1035 §2.3.4). */
const LABEL_LENGTH = 63
/** Bit of CAP_NET_ADMIN in a capability set (capability.h). */
const CAP_NET_ADMIN = 12n

/** A DNS label made of a host's name: its first label in lower case, whatever is not a letter, a digit
 *  or an inner hyphen replaced; `device` if nothing is left. */
export function deviceName(hostname: string): string {
  const [first = ''] = hostname.toLowerCase().split('.')
  const label = first
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, LABEL_LENGTH + 1)
    .replaceAll(/^-|-$/g, '')
    .slice(0, LABEL_LENGTH)
    .replace(/-$/, '')
  return label === '' ? 'device' : label
}

/** `Debian GNU/Linux 12 (bookworm), Linux 6.1.0, x64`; without the first where os-release is missing. */
export function systemDescription(osRelease: string = readOsRelease()): string {
  const name = /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(osRelease)?.[1]
  const kernel = `Linux ${release()}, ${arch()}`
  return name === undefined || name === '' ? kernel : `${name}, ${kernel}`
}

/** Has the process CAP_NET_ADMIN in its effective set (capabilities(7))?
 *  @param status the text of /proc/self/status */
export function hasNetAdmin(status: string = readFileSync('/proc/self/status', 'utf8')): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1]
  return effective !== undefined && ((BigInt(`0x${effective}`) >> CAP_NET_ADMIN) & 1n) === 1n
}

function readOsRelease(): string {
  try {
    return readFileSync('/etc/os-release', 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return ''
    throw error
  }
}
