/** Rule store: the proxy's rules, and which of them outlast a restart. */
import { readFile, rename, writeFile } from 'node:fs/promises'
import { z } from 'zod'
import { MalformedError } from '../../protocol/errors.ts'
import { OperatorError } from '../errors.ts'
import { formatProxyRule, type ProxyRule, parseProxyRule, proxyRuleKey } from './proxy-rule.ts'

/** Of both directions together. */
export const MOST_RULES = 256

const SAVED = z.strictObject({
  ingress: z.array(z.string()).max(MOST_RULES),
  egress: z.array(z.string()).max(MOST_RULES),
})

export interface ListedRule {
  readonly rule: ProxyRule
  /** Given by an option when the daemon started: not written down, so that without the option it is gone. */
  readonly isOption: boolean
}

export interface ProxyRules {
  list(): readonly ListedRule[]
  /** All of them or none. Throws MalformedError on a rule that is there already, and beyond the limit. */
  add(rules: readonly ProxyRule[]): Promise<void>
  /** All of them or none, those given by options too: these are back after a restart with the options. Throws
   *  MalformedError where one is not there. */
  remove(rules: readonly ProxyRule[]): Promise<void>
  /** Tells of every change until it is called off. */
  watch(onChange: () => void): () => void
}

/** @param file made when the first rule is added. Throws OperatorError (ERR_STATE_DIRECTORY) when it can't be read or
 *  is corrupt; it is never overwritten then. Throws MalformedError when an option is given twice.
 *  @param options rules that came with the command line */
export async function openProxyRules(
  file: string,
  options: readonly ProxyRule[] = [],
): Promise<ProxyRules> {
  const given = new Map<string, ProxyRule>()
  for (const rule of options) {
    if (given.has(proxyRuleKey(rule))) throw new MalformedError(`${describe(rule)}: given twice`)
    given.set(proxyRuleKey(rule), rule)
  }
  const saved = new Map((await read(file)).map((rule) => [proxyRuleKey(rule), rule]))
  return new RuleStore(file, given, saved)
}

type Rules = Map<string, ProxyRule>

class RuleStore implements ProxyRules {
  readonly #file: string
  readonly #given: Rules
  #saved: Rules
  readonly #watchers = new Set<() => void>()
  #last: Promise<void> = Promise.resolve()

  constructor(file: string, given: Rules, saved: Rules) {
    this.#file = file
    this.#given = given
    this.#saved = saved
  }

  list(): readonly ListedRule[] {
    return [...new Map([...this.#given, ...this.#saved])].map(([key, rule]) => ({
      rule,
      isOption: this.#given.has(key) && !this.#saved.has(key),
    }))
  }

  add(rules: readonly ProxyRule[]): Promise<void> {
    return this.#change((wanted) => {
      for (const rule of rules) {
        const key = proxyRuleKey(rule)
        if (wanted.has(key) || this.#given.has(key))
          throw new MalformedError(`${describe(rule)}: it is there already`)
        wanted.set(key, rule)
      }
      const count = new Set([...this.#given.keys(), ...wanted.keys()]).size
      if (count > MOST_RULES)
        throw new MalformedError(`proxy rules: ${count} of them, at most ${MOST_RULES}`)
    })
  }

  remove(rules: readonly ProxyRule[]): Promise<void> {
    return this.#change(
      (wanted) => {
        for (const rule of rules) {
          const key = proxyRuleKey(rule)
          if (!wanted.delete(key) && !this.#given.has(key))
            throw new MalformedError(`${describe(rule)}: there is no such rule`)
        }
      },
      () => {
        for (const rule of rules) this.#given.delete(proxyRuleKey(rule))
      },
    )
  }

  watch(onChange: () => void): () => void {
    this.#watchers.add(onChange)
    return () => this.#watchers.delete(onChange)
  }

  /** One after the other. @param edit throws where nothing is to change */
  #change(edit: (wanted: Rules) => void, after?: () => void): Promise<void> {
    const work = async (): Promise<void> => {
      const wanted = new Map(this.#saved)
      edit(wanted)
      await write(this.#file, [...wanted.values()])
      this.#saved = wanted
      after?.()
      for (const onChange of this.#watchers) onChange()
    }
    this.#last = this.#last.catch(() => {}).then(work)
    return this.#last
  }
}

function describe(rule: ProxyRule): string {
  return `${rule.direction} rule "${formatProxyRule(rule)}"`
}

async function read(file: string): Promise<readonly ProxyRule[]> {
  let content: string
  try {
    content = await readFile(file, 'utf8')
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return []
    throw new OperatorError('ERR_STATE_DIRECTORY', `cannot read ${file}`, { cause })
  }
  try {
    const { ingress, egress } = SAVED.parse(JSON.parse(content))
    return [
      ...ingress.map((text) => parseProxyRule('ingress', text)),
      ...egress.map((text) => parseProxyRule('egress', text)),
    ]
  } catch (cause) {
    throw new OperatorError(
      'ERR_STATE_DIRECTORY',
      `${file} is corrupt (mend it, or move it away and add the rules again)`,
      { cause },
    )
  }
}

async function write(file: string, rules: readonly ProxyRule[]): Promise<void> {
  const of = (direction: ProxyRule['direction']) =>
    rules.filter((rule) => rule.direction === direction).map(formatProxyRule)
  const content = JSON.stringify({ ingress: of('ingress'), egress: of('egress') }, undefined, 2)
  await writeFile(`${file}.new`, content, { mode: 0o600, flush: true })
  await rename(`${file}.new`, file)
}
