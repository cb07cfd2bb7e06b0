/** Hooking: chooses the hook that this host is for, by trying, and keeps it as it should be. */
import type { Clock } from '../../protocol/clock.ts'
import type { Log } from '../../protocol/log.ts'
import { explain } from '../errors.ts'
import type { Hook, Hooked } from './hook.ts'

export interface HookingOptions {
  /** The best first. */
  readonly hooks: readonly Hook[]
  /** Addresses of a name as the host's programs find it; none where it is unknown. */
  lookUp(name: string): Promise<readonly string[]>
  readonly clock: Pick<Clock, 'sleep'>
  readonly log: Log
}

/** Looks at whether a name is found, and milliseconds between them: a resolver of the host may have to read its settings. */
const LOOKS = 3
const LOOK_MS = 500

/** What the operator is told. */
export interface HookStatus {
  readonly kind: Hook['kind'] | 'none'
  /** Why not by those that come before it. */
  readonly obstacles: readonly string[]
}

export class Hooking {
  readonly #options: HookingOptions
  #chosen: Hook | undefined
  #obstacles: readonly string[] = []
  #isChosen = false

  constructor(options: HookingOptions) {
    this.#options = options
  }

  get status(): HookStatus {
    return { kind: this.#chosen?.kind ?? 'none', obstacles: this.#obstacles }
  }

  /** Brings the host to what is wanted; nothing is wanted: takes all back. Never rejects. */
  async follow(wanted: Hooked | undefined): Promise<void> {
    if (wanted === undefined) return this.remove()
    if (this.#chosen === undefined) return this.#choose(wanted)
    try {
      await this.#chosen.apply(wanted)
    } catch (error) {
      const { kind } = this.#chosen
      this.#options.log('warn', 'names.hook-failed', { kind, reason: explain(error) })
      await this.#removed(this.#chosen)
      this.#chosen = undefined
      await this.#choose(wanted)
    }
  }

  /** All of what this and earlier ones have made. */
  async remove(): Promise<void> {
    this.#chosen = undefined
    for (const hook of this.#options.hooks) await this.#removed(hook)
  }

  async #choose(wanted: Hooked): Promise<void> {
    const obstacles: string[] = []
    for (const hook of this.#options.hooks) {
      const obstacle = await this.#tried(hook, wanted)
      if (obstacle === undefined) {
        this.#chosen = hook
        break
      }
      obstacles.push(`${hook.kind}: ${obstacle}`)
    }
    const isNews = JSON.stringify(obstacles) !== JSON.stringify(this.#obstacles)
    this.#obstacles = obstacles
    if (isNews || !this.#isChosen)
      this.#options.log(this.#chosen === undefined ? 'warn' : 'info', 'names.hooked', {
        by: this.#chosen?.kind ?? 'nothing',
        domain: wanted.search,
        ...(obstacles.length === 0 ? {} : { others: obstacles.join('; ') }),
      })
    this.#isChosen = true
  }

  /** Why it does not serve, and it is removed; undefined: it does. */
  async #tried(hook: Hook, wanted: Hooked): Promise<string | undefined> {
    try {
      const obstacle = await hook.obstacle(wanted)
      if (obstacle !== undefined) return obstacle
      await hook.apply(wanted)
      if (await this.#isFound(wanted)) return undefined
      await this.#removed(hook)
      return `this host's programs do not find ${wanted.own.name} by it`
    } catch (error) {
      await this.#removed(hook)
      return explain(error)
    }
  }

  async #isFound({ own }: Hooked): Promise<boolean> {
    for (let look = 0; look < LOOKS; look++) {
      if (look > 0) await this.#options.clock.sleep(LOOK_MS)
      const found = await this.#options.lookUp(own.name)
      if (own.addresses.some((each) => found.includes(each))) return true
    }
    return own.addresses.length === 0
  }

  async #removed(hook: Hook): Promise<void> {
    try {
      await hook.remove()
    } catch (error) {
      this.#options.log('warn', 'names.unhook-failed', { kind: hook.kind, reason: explain(error) })
    }
  }
}
