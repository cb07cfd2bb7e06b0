/** nft firewall: the policy as a table of nftables beside the tunnel's interface: put there in one transaction, put
 *  back when somebody removes or changes it, removed at the end. */
import type { Cancellable, Clock } from '../../protocol/clock.ts'
import type { Log } from '../../protocol/log.ts'
import { explain } from '../errors.ts'
import { removalText, removeTablesOfTheDead } from '../host/nft-tables.ts'
import { ownerMark } from '../host/owner.ts'
import { startRulesetWatch } from '../host/ruleset-watch.ts'
import { CommandError, type Commands } from '../host/run.ts'
import { compilePolicy } from './compile.ts'
import { type Firewall, type FirewallConfig, NO_ALIASES } from './firewall.ts'
import { TABLE_PREFIX, tableName, tableText } from './nft-table.ts'

export interface NftFirewallOptions {
  readonly interfaceName: string
  readonly commands: Commands
  readonly clock: Clock
  readonly log: Log
}

/** Milliseconds between looks at the table, should the monitor miss something. */
const LOOK_MS = 60_000

/** Nothing is made before the first `enforce`. Disposing removes the table: end the tunnel before. */
export function nftFirewall(options: NftFirewallOptions): Firewall {
  return new NftFirewall(options)
}

class NftFirewall implements Firewall {
  onLost: (reason: string) => void = () => undefined
  readonly #options: NftFirewallOptions
  readonly #table: string
  /** As it was put there last; undefined: nothing was. */
  #text: string | undefined
  /** As nft lists that; empty: not known. */
  #listed = ''
  #watch: AsyncDisposable | undefined
  #looking: Cancellable | undefined
  #last: Promise<unknown> = Promise.resolve()
  #isEnded = false

  constructor(options: NftFirewallOptions) {
    this.#options = options
    this.#table = tableName(options.interfaceName)
  }

  enforce({ policy, own, peers, meshPorts, aliases }: FirewallConfig): Promise<void> {
    const text = tableText({
      interfaceName: this.#options.interfaceName,
      policy: compilePolicy(policy, own, peers),
      ownPrefixes: own.prefixes,
      mesh: { ...meshPorts, user: process.getuid?.() ?? 0 },
      aliases: aliases ?? NO_ALIASES,
      mark: ownerMark(),
    })
    return this.#inTurn(async () => {
      if ((text === this.#text && this.#listed !== '') || this.#isEnded) return
      await this.#put(text)
      await this.#watchFrom(policy.revision)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnded = true
    this.#looking?.cancel()
    await this.#watch?.[Symbol.asyncDispose]()
    await this.#last
    if (this.#text !== undefined) await this.#nft(removalText(this.#table))
  }

  async #put(text: string): Promise<void> {
    await this.#nft(text)
    this.#text = text
    this.#listed = ''
    const listed = await this.#list()
    if (listed === '')
      throw new Error(`table ${this.#table} went as soon as it was made (what else loads rules?)`)
    this.#listed = listed
  }

  /** A policy that has rules is watched over all the time, version 0 now and then. */
  async #watchFrom(revision: number): Promise<void> {
    const { commands, clock, log } = this.#options
    const onTouched = (): void => void this.#inTurn(() => this.#look())
    if (revision > 0 && this.#watch === undefined) {
      this.#watch = startRulesetWatch({ table: this.#table, onTouched, commands, clock, log })
    }
    if (this.#looking !== undefined) return
    this.#looking = clock.every(LOOK_MS, onTouched)
    await this.#removeLeftovers()
  }

  /** Puts the table back where it is not as it was. */
  async #look(): Promise<void> {
    if (this.#text === undefined || this.#isEnded) return
    const { log } = this.#options
    try {
      if ((await this.#list()) === this.#listed) return
      await this.#put(this.#text)
      log('warn', 'policy.restored', {
        table: this.#table,
        hint: 'somebody removed or changed it, as a firewall does that begins by "flush ruleset"',
      })
    } catch (error) {
      this.#text = undefined
      this.onLost(explain(error))
    }
  }

  /** Empty where there is no such table. */
  async #list(): Promise<string> {
    const { commands } = this.#options
    try {
      return await commands.run('nft', ['--stateless', 'list', 'table', 'inet', this.#table])
    } catch (error) {
      if (error instanceof CommandError && /No such file/.test(error.stderr)) return ''
      throw error
    }
  }

  /** Of agents that died with an interface of another name. */
  async #removeLeftovers(): Promise<void> {
    const { commands, log } = this.#options
    try {
      await removeTablesOfTheDead(commands, TABLE_PREFIX, this.#table, 'input')
    } catch (error) {
      log('warn', 'policy.leftovers-unknown', { reason: explain(error) })
    }
  }

  async #nft(input: string): Promise<void> {
    await this.#options.commands.run('nft', ['-f', '-'], { input })
  }

  #inTurn(task: () => Promise<void>): Promise<void> {
    const result = this.#last.then(task)
    this.#last = result.catch(() => undefined)
    return result
  }
}
