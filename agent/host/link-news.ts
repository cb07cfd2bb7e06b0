/** Link news: which lines of `ip -oneline monitor` tell of something that other hosts or our paths may notice. What
 *  only repeats what is known does not: a capture makes an interface promiscuous, a router renews an address's
 *  lifetime every few minutes. */
import { isContainerInterface } from './local-addresses.ts'

/** Of a link: in the line, whatever else it says of queues and modes. */
const FLAGS = /<([A-Z0-9_,-]*)>/
const SHOWN = [/\bmtu \d+/, /\bstate \S+/, /\blink\/\S+ \S+/, /\bmaster \S+/]
const OF_LISTENERS = ['PROMISC', 'ALLMULTI']

export class LinkNews {
  readonly #tunnelInterface: string
  /** What was last said of each link, and of each of its addresses. */
  readonly #known = new Map<string, string>()

  /** @param tunnelInterface the tunnel's own: what happens on it is no news */
  constructor(tunnelInterface: string) {
    this.#tunnelInterface = tunnelInterface
  }

  /** Takes lines of `ip -oneline link show` and `address show`, older than all that were asked about. */
  learn(lines: readonly string[]): void {
    for (const line of lines) {
      const [subject, said] = statement(line)
      if (subject !== undefined && !this.#known.has(subject)) this.#known.set(subject, said)
    }
  }

  isNews(line: string): boolean {
    const name = nameIn(line)
    if (name === undefined) return line.trim() !== ''
    if (name === this.#tunnelInterface || name === 'lo' || isContainerInterface(name)) return false
    const [subject, said] = statement(line)
    if (subject === undefined) return true
    if (line.startsWith('Deleted ')) {
      this.#known.delete(subject)
      return true
    }
    const isNew = this.#known.get(subject) !== said
    this.#known.set(subject, said)
    return isNew
  }
}

function nameIn(line: string): string | undefined {
  return /\bdev (\S+)/.exec(line)?.[1] ?? /^(?:Deleted )?\d+: ([^:\s@]+)/.exec(line)?.[1]
}

/** What the line is about, and what it says of that; the subject is missing where each line is news (routes). */
function statement(line: string): readonly [subject: string | undefined, said: string] {
  const [, link, kind, address] =
    /^(?:Deleted )?\d+: ([^:\s@]+)(?:\s+(inet6?) (\S+))?/.exec(line) ?? []
  if (link === undefined) return [undefined, '']
  if (address !== undefined) {
    return [`${link} ${kind} ${address}`, line.replace(/\\?\s*valid_lft.*$/, '').trim()]
  }
  const flags = (FLAGS.exec(line)?.[1] ?? '')
    .split(',')
    .filter((flag) => !OF_LISTENERS.includes(flag))
  return [link, [flags.toSorted(), ...SHOWN.map((part) => part.exec(line)?.[0])].join(' ')]
}
