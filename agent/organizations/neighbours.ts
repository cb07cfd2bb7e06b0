/** Neighbours: the other organizations of this host, as one of them sees them. */
import type { IpAddress } from '../../protocol/address.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import type { OrganizationState } from '../../protocol/state.ts'
import type { Seconds } from '../../protocol/time.ts'
import type { Share } from './share.ts'
import { type Wants, wantsOf } from './wants.ts'

export interface Neighbours {
  /** Is it the one that `nexd up` was started for? Its are short names, and what earlier starts left. */
  readonly isFirst: boolean
  /** As it was answered last; undefined: the organization is alone, or was until now, and has all. */
  readonly current: Share | undefined
  /** Are there others on this host, who may be in its way? */
  readonly isTelling: boolean
  /** Calls `changed` whenever another plan is to be made. */
  follow(changed: () => void): void
  /** Says what is wanted now, where that has changed. */
  share(state: OrganizationState, self: DeviceId, now: Seconds): Share | undefined
  wantExit(isWanted: boolean): void
  /** By which addresses the tunnel runs now, and by which names the first one's registries are found. */
  useUnderlay(addresses: readonly IpAddress[], servers: readonly string[]): void
}

export interface SeatOptions {
  readonly isFirst: boolean
  readonly share: Share | undefined
  /** Are wants said from the start, even where nothing is shared? */
  readonly isTelling: boolean
  /** Tells whoever decides: it answers by `become`, at once or later. @param wants undefined: nothing is known */
  say(wants: Wants | undefined): void
}

/** What one organization has said of its wants, and been answered. */
export class Seat implements Neighbours {
  readonly isFirst: boolean
  readonly #followers: (() => void)[] = []
  readonly #say: (wants: Wants | undefined) => void
  #isTelling: boolean
  #current: Share | undefined
  #isExitWanted = false
  #underlay: readonly IpAddress[] = []
  #servers: readonly string[] = []
  #said = ''
  #asked: readonly unknown[] = []
  #isSaying = false

  constructor({ isFirst, share, isTelling, say }: SeatOptions) {
    this.isFirst = isFirst
    this.#isTelling = isTelling
    this.#say = say
    this.#current = share
  }

  get current(): Share | undefined {
    return this.#current
  }

  get isTelling(): boolean {
    return this.#isTelling
  }

  follow(changed: () => void): void {
    this.#followers.push(changed)
  }

  share(state: OrganizationState, self: DeviceId, now: Seconds): Share | undefined {
    if (!this.#isTelling) return undefined
    const asked = [state, now, this.#isExitWanted, this.#underlay, this.#servers]
    if (asked.every((each, index) => each === this.#asked[index])) return this.#current
    this.#asked = asked
    const onHost = {
      ...{ isExitWanted: this.#isExitWanted, underlay: this.#underlay, servers: this.#servers },
    }
    const wants = wantsOf(state, self, now, onHost)
    const text = JSON.stringify(wants) ?? 'nothing'
    if (text === this.#said) return this.#current
    this.#said = text
    const before = JSON.stringify(this.#current)
    this.#isSaying = true
    this.#say(wants)
    this.#isSaying = false
    // Not only who asks follows it.
    if (JSON.stringify(this.#current) !== before) this.#changed()
    return this.#current
  }

  wantExit(isWanted: boolean): void {
    if (isWanted === this.#isExitWanted) return
    this.#isExitWanted = isWanted
    if (this.#isTelling) this.#changed()
  }

  useUnderlay(addresses: readonly IpAddress[], servers: readonly string[]): void {
    if (`${[addresses, servers]}` === `${[this.#underlay, this.#servers]}`) return
    this.#underlay = addresses
    this.#servers = servers
    if (this.#isTelling) this.#changed()
  }

  /** Others have come. Until it is answered it keeps all that it has. */
  begin(): void {
    if (this.#isTelling) return
    this.#isTelling = true
    this.#changed()
  }

  /** It is alone from now on. */
  end(): void {
    this.#isTelling = false
    this.#said = ''
    this.#asked = []
    this.become(undefined)
  }

  become(share: Share | undefined): void {
    const isSame = JSON.stringify(share) === JSON.stringify(this.#current)
    this.#current = share
    if (!isSame && !this.#isSaying) this.#changed()
  }

  #changed(): void {
    for (const changed of this.#followers) changed()
  }
}
