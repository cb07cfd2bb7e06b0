/** Router choice: which of the routers of one prefix this device uses. Pure. Each user decides for itself by what it
 *  measures; those that measure the same decide the same. Away from what fails at once; back to what was left only when
 *  that has worked without a break for a while, which doubles each time: so nothing flaps. Sooner only where the one in
 *  use has worked for a part of that time: a target that is down, or flaps, behind all of them lets none do so. */
import type { DeviceId } from '../../protocol/keys.ts'

/** A claim as it is judged, best rank first in a list. */
export interface Router {
  readonly device: DeviceId
  /** It asks to be left. */
  readonly isDraining: boolean
  /** Of its advertisement: grows when it says something new. */
  readonly sequence: number
  /** Does the path to it answer? */
  readonly isUp: boolean
  /** Since when, milliseconds. */
  readonly upSinceMs: number
  /** Does the target behind it answer, by way of it? Known of the one in use alone. */
  readonly hasFailedProbe: boolean
  /** For how long it last answered so without a break, milliseconds; 0: not known. */
  readonly provedMs: number
  readonly roundTripMs?: number
  /** It drains, and asks that who uses it does so until then, milliseconds; what works is not left before. */
  readonly usedUntilMs?: number
}

/** Why a router is or is not in use, for people. */
export type ChoiceReason =
  | 'only one'
  | 'first by rank'
  | 'the one before was withdrawn'
  | 'the one before drains'
  | 'the one before does not answer'
  | 'the target behind the one before does not answer'
  | 'the better one works again'

export interface RouterChoice {
  readonly device: DeviceId | undefined
  readonly sinceMs: number
  readonly reason: ChoiceReason
  readonly switches: number
  /** Routers that were left, and what it takes to come back. */
  readonly left: ReadonlyMap<DeviceId, Left>
}

export interface Left {
  readonly atMs: number
  /** It must have worked for so long, milliseconds. */
  readonly waitMs: number
  /** Left for what is behind it, which can't be seen from here; its sequence then. */
  readonly probedSequence: number | undefined
}

/** Milliseconds that a router which was left must have worked without a break: at first, and at most. */
export const RETURN_MS = { first: 30_000, most: 600_000 } as const
/** The part of another's wait for which the probe of the one in use must have been answered before it failed, for the
 *  other to be tried at once. */
export const PROVED_SHARE = 1 / 6
/** A router that has been in use for so long without fault is as good as new, milliseconds. */
export const FORGIVEN_MS = 600_000
/** Routers remembered as left; the oldest go first. */
const REMEMBERED = 32

export const NO_CHOICE: RouterChoice = {
  device: undefined,
  sinceMs: -Infinity,
  reason: 'first by rank',
  switches: 0,
  left: new Map(),
}

/** Total. @param routers by rank, those that drain last */
export function chooseRouter(
  choice: RouterChoice,
  routers: readonly Router[],
  nowMs: number,
): RouterChoice {
  const current = routers.find(({ device }) => device === choice.device)
  if (current !== undefined && isAwaited(current, nowMs)) return forgiven(choice, nowMs)
  const usable = routers.filter((router) => isUsable(router, current, choice, nowMs))
  const best =
    usable[0] ?? triedAnew(routers, current, choice) ?? leastBad(routers, current, choice)
  if (best === undefined) {
    return choice.device === undefined ? choice : leave(choice, undefined, 'first by rank', nowMs)
  }
  if (best.device === choice.device) return forgiven(choice, nowMs)
  if (choice.device === undefined) {
    const reason = routers.length === 1 ? 'only one' : 'first by rank'
    return { ...choice, device: best.device, sinceMs: nowMs, reason }
  }
  return leave(choice, best.device, reasonToLeave(current), nowMs, current)
}

function isAwaited({ isUp, hasFailedProbe, usedUntilMs }: Router, nowMs: number): boolean {
  return isUp && !hasFailedProbe && nowMs < (usedUntilMs ?? -Infinity)
}

function isUsable(
  router: Router,
  current: Router | undefined,
  choice: RouterChoice,
  nowMs: number,
): boolean {
  if (!router.isUp || router.hasFailedProbe) return false
  if (router === current) return true
  const left = choice.left.get(router.device)
  if (left === undefined) return true
  // Where the one in use fails or asks to be left, what has worked for a moment is good enough, but for what it was left for behind it.
  const isUrgent =
    current === undefined || !current.isUp || current.hasFailedProbe || current.isDraining
  if (left.probedSequence !== undefined) return isProbeWorthwhile(router, left, isUrgent, nowMs)
  return isUrgent || worksFor(router, left, nowMs) >= left.waitMs
}

/** What is behind it can be seen only by using it, which costs its users packets if it still fails. */
function isProbeWorthwhile(router: Router, left: Left, isUrgent: boolean, nowMs: number): boolean {
  const works = worksFor(router, left, nowMs)
  const saysAnew = router.sequence !== left.probedSequence
  return isUrgent ? works >= left.waitMs : works >= (saysAnew ? left.waitMs : RETURN_MS.most)
}

function worksFor({ upSinceMs, isDraining }: Router, { atMs }: Left, nowMs: number): number {
  return isDraining ? -Infinity : nowMs - Math.max(upSinceMs, atMs)
}

/** What is behind the one in use worked by way of it, and fails now: one that was left for that, the longest left, may
 *  have been mended meanwhile. */
function triedAnew(
  routers: readonly Router[],
  current: Router | undefined,
  choice: RouterChoice,
): Router | undefined {
  if (current?.hasFailedProbe !== true) return undefined
  return longestLeft(routers, choice).find(({ device, isUp, isDraining }) => {
    const left = choice.left.get(device)
    if (device === current.device || !isUp || isDraining) return false
    return left !== undefined && current.provedMs >= left.waitMs * PROVED_SHARE
  })
}

/** None is usable: the one in use while its path answers, else one whose path does, the longest left. */
function leastBad(
  routers: readonly Router[],
  current: Router | undefined,
  choice: RouterChoice,
): Router | undefined {
  const others = longestLeft(routers, choice)
  if (current?.isUp === true) return current
  return others.find(({ isUp }) => isUp) ?? current ?? others[0]
}

function longestLeft(routers: readonly Router[], { left }: RouterChoice): readonly Router[] {
  const atMs = ({ device }: Router): number => left.get(device)?.atMs ?? -Infinity
  return routers.toSorted((a, b) => atMs(a) - atMs(b))
}

function reasonToLeave(current: Router | undefined): ChoiceReason {
  if (current === undefined) return 'the one before was withdrawn'
  if (!current.isUp) return 'the one before does not answer'
  if (current.hasFailedProbe) return 'the target behind the one before does not answer'
  return current.isDraining ? 'the one before drains' : 'the better one works again'
}

function leave(
  choice: RouterChoice,
  next: DeviceId | undefined,
  reason: ChoiceReason,
  nowMs: number,
  current?: Router,
): RouterChoice {
  const { device, switches } = choice
  const left = new Map(choice.left)
  if (device !== undefined && reason !== 'the better one works again') {
    const before = left.get(device)
    const waitMs =
      before === undefined ? RETURN_MS.first : Math.min(before.waitMs * 2, RETURN_MS.most)
    const probedSequence = current?.hasFailedProbe === true ? current.sequence : undefined
    left.delete(device)
    left.set(device, { atMs: nowMs, waitMs, probedSequence })
    const oldest = left.keys().next()
    if (left.size > REMEMBERED && oldest.done !== true) left.delete(oldest.value)
  }
  return { device: next, sinceMs: nowMs, reason, switches: switches + 1, left }
}

function forgiven(choice: RouterChoice, nowMs: number): RouterChoice {
  const { device, sinceMs, left } = choice
  if (device === undefined || !left.has(device) || nowMs - sinceMs < FORGIVEN_MS) return choice
  return { ...choice, left: new Map([...left].filter(([other]) => other !== device)) }
}
