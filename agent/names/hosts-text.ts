/** Hosts text: the block of names that an agent keeps in a hosts file (hosts(5)). Pure. */
import type { IpAddress } from '../../protocol/address.ts'
import { ownerIn } from '../host/owner.ts'

export interface HostsLine {
  readonly address: IpAddress
  /** The whole name first. */
  readonly names: readonly string[]
}

export const HOSTS_LIMITS = {
  /** Bytes of the file of others that is changed at all. */
  file: 4 << 20,
  /** Lines of the block: each look-up of any program reads them all. */
  lines: 4096,
} as const

/** Names that mean something on every host, or that programs ask for by themselves (WPAD, ISATAP). */
const NEVER_SHORT = ['localhost', 'localhost4', 'localhost6', 'broadcasthost', 'wpad', 'isatap']

const BEGIN = '# nexd begin '
const END = '# nexd end '
/** Behind the first line: the file's last line had no end before. */
const UNENDED = ' (no newline before)'

/** @param key names the agent; no two on a host have one
 *  @param owner of the running agent (owner.ts)
 *  Undefined where the text would stay as it is. Other agents' blocks stay, but for those that died. */
export function withBlock(
  text: string,
  key: string,
  owner: string,
  lines: readonly HostsLine[],
): string | undefined {
  const others = withoutBlocks(text, key)
  const taken = namesIn(others)
  const shown = lines.slice(0, HOSTS_LIMITS.lines).map(({ address, names }) => {
    const [whole = '', ...short] = names
    return [address, whole, ...short.filter((each) => isFree(each, taken))].join(' ')
  })
  const isEnded = others === '' || others.endsWith('\n')
  const block = [
    `${BEGIN}${key} (${owner}): goes when it stops; what is changed here is lost${isEnded ? '' : UNENDED}`,
    ...shown,
    `${END}${key}`,
  ]
  const kept = isEnded ? others : `${others}\n`
  const wanted = lines.length === 0 ? others : `${kept}${block.join('\n')}\n`
  return wanted === text ? undefined : wanted
}

function isFree(name: string, taken: ReadonlySet<string>): boolean {
  return name !== '' && !taken.has(name) && !NEVER_SHORT.includes(name) && !name.startsWith('ip6-')
}

/** Names that others gave. */
function namesIn(text: string): ReadonlySet<string> {
  const lines = text.split('\n').map((line) => (line.split('#')[0] ?? '').trim())
  return new Set(lines.flatMap((line) => line.toLowerCase().split(/\s+/).slice(1)))
}

/** Without the agent's own block, and without those of agents that have died. A block without an end is taken to be its
 *  first line alone: nothing of others is removed. */
export function withoutBlocks(text: string, key: string): string {
  const lines = text.split('\n')
  const kept: string[] = []
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? ''
    const whose = keyOf(line)
    const isOurs = whose === key || (whose !== undefined && ownerIn(line) === 'gone')
    if (whose === undefined || !isOurs) {
      kept.push(line)
      continue
    }
    const end = endOf(lines, at, whose)
    if (end === undefined) continue
    const isLast = end === lines.length - 2 && lines[end + 1] === ''
    at = isLast && line.endsWith(UNENDED) ? end + 1 : end
  }
  return kept.join('\n')
}

function keyOf(line: string): string | undefined {
  return line.startsWith(BEGIN) ? line.slice(BEGIN.length).split(' ')[0] : undefined
}

/** Of the block that begins there; another block's beginning comes before it: it has none. */
function endOf(lines: readonly string[], begin: number, key: string): number | undefined {
  for (let at = begin + 1; at < lines.length && at <= begin + HOSTS_LIMITS.lines + 1; at++) {
    const line = lines[at] ?? ''
    if (line === `${END}${key}`) return at
    if (line.startsWith(BEGIN)) return undefined
  }
  return undefined
}
