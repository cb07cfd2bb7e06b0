/** A product that joins hosts into one network, as the laboratory runs it: ours, or another beside it. All are
 *  measured alike: a public hub that runs before, members that were set up before and are then started. */
import { accessSync, constants } from 'node:fs'
import type { Host } from '../lab/ground.ts'
import type { Lab } from '../lab/lab.ts'
import type { SiteKind } from '../lab/nat.ts'

/** `a` and `b` are the pair; `c` is a third, where there is one. */
export type MemberName = 'a' | 'b' | 'c'

/** Hosts of one laboratory, free to be used by one product after another. */
export interface Field {
  readonly lab: Lab
  /** Public: lighthouse, supernode, relay, or a member as any. */
  readonly hub: Host
  /** Public: where a product has a server of another sort. */
  readonly server: Host
  readonly members: Readonly<Partial<Record<MemberName, Host>>>
  /** Keys that take long to make are kept here, for every laboratory of the run. */
  readonly shared: string
}

export interface Product {
  readonly name: string
  /** Commands that have to be there. */
  readonly commands: readonly string[]
  /** Debian packages that have them. */
  readonly packages: readonly string[]
  /** Can it work between such sites at all? */
  fits(kinds: readonly SiteKind[]): boolean
  /** Sets everybody up and starts the hub; members do not run. */
  open(field: Field): Promise<Network>
}

export interface Network {
  readonly hasHub: boolean
  /** Inside the network, IPv4. */
  address(member: MemberName): string
  /** Starts the member's daemons, and does not wait for anything of theirs. */
  start(member: MemberName): void
  stop(member: MemberName, signal?: NodeJS.Signals): Promise<void>
  /** Kills what is central, without a word to anybody; where the hub is the server, it is one and the same. */
  killHub(): Promise<void>
  killServer(): Promise<void>
  /** Starts what does not run; resolves when it serves. */
  startHub(): Promise<void>
  startServer(): Promise<void>
  /** Of a member that runs, for what is to be done to them all. */
  processes(member: MemberName): Promise<readonly number[]>
  /** Ends everything of it; the laboratory stays. */
  close(): Promise<void>
}

export function isInstalled(command: string): boolean {
  const folders = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin:/usr/local/sbin`.split(':')
  return folders.some((folder) => {
    try {
      accessSync(`${folder}/${command}`, constants.X_OK)
      return true
    } catch (error) {
      if (error instanceof Error && 'code' in error) return false
      throw error
    }
  })
}

export function hostOf({ members }: Field, member: MemberName): Host {
  const host = members[member]
  if (host === undefined) throw new Error(`there is no member ${member}`)
  return host
}

export function memberNames({ members }: Field): readonly MemberName[] {
  return (['a', 'b', 'c'] as const).filter((name) => members[name] !== undefined)
}
