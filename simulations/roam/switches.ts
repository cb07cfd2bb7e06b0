/** Planned changes from one working path to another, under a stream of packets: what is lost?
 *
 *  Two public hosts have a second link each, whose delay goes from 2 ms to 30 and back: the path through
 *  them takes 8 ms of round trip, then 120, and the other always 40. An address that comes and goes with
 *  it, as it does where a link gets better by another network, has the agents look. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Namespace } from '../lab/namespace.ts'
import { type Echo, monotonicMs, startProbe } from '../lab/probe.ts'
import { ACCESS_DELAY_MS, type Scene, startScene, until } from '../lab/scene.ts'
import { lostBetween } from './recovery.ts'

const INTERVAL_MS = 10
const FAST_MS = 2
const SLOW_MS = 30
/** Round trips of the other path lie on the one side of this, and the fast one's on the other. */
const BETWEEN_MS = 25
/** So many answers in a row by the path that is wanted: the change has been made. */
const IN_A_ROW = 5
const BEFORE_MS = 500
const AFTER_MS = 1500
/** An echo may be under way for so long, and is not counted. */
const UNDER_WAY_MS = 500
const PATIENCE_MS = 60_000
const SITES = { hub: 1, left: 2, right: 3, registry: 4, leftSecond: 5, rightSecond: 6 } as const
const HINT = `198.18.${SITES.leftSecond}.9/32`

export interface Switch {
  readonly to: 'fast' | 'steady'
  /** From the change of the link's delay to the path in use; undefined where it did not follow. */
  readonly tookMs: number | undefined
  readonly sent: number
  readonly lost: number
}

export async function measureSwitches(
  count: number,
  tell: (line: string) => void,
): Promise<readonly Switch[]> {
  const scene = await startScene({
    sites: Object.values(SITES).map(() => ({ kind: 'public', delayMs: ACCESS_DELAY_MS })),
    registrySite: SITES.registry,
    agents: { left: { site: SITES.left }, right: { site: SITES.right } },
    enrol: 'key',
  })
  try {
    await addSecondLinks(scene)
    const [left, right] = [scene.agent('left'), scene.agent('right')]
    const [address = ''] = await right.addresses()
    await until(
      'the path is direct',
      60_000,
      async () => (await left.peer('right'))?.path === 'direct',
    )
    const switches: Switch[] = []
    for (let index = 0; index < count; index += 1) {
      const to = index % 2 === 0 ? 'fast' : 'steady'
      const made = await measureSwitch(scene, left.host.namespace, address, to)
      switches.push(made)
      const when = made.tookMs === undefined ? 'not followed' : `${made.tookMs.toFixed(0)} ms`
      tell(`switch ${index + 1} to the ${to} path: ${when}, ${made.lost} of ${made.sent} lost`)
    }
    return switches
  } finally {
    await scene.stop()
  }
}

/** The links of two more sites are plugged into the two hosts, and lead to each other only. */
async function addSecondLinks({ lab }: Scene): Promise<void> {
  await lab.delay(SITES.leftSecond, SLOW_MS)
  await lab.delay(SITES.rightSecond, SLOW_MS)
  for (const [host, own, other] of [
    [SITES.left, SITES.leftSecond, SITES.rightSecond],
    [SITES.right, SITES.rightSecond, SITES.leftSecond],
  ] as const) {
    const [from, to] = [lab.host(own).namespace, lab.host(host).namespace]
    await from.exec('ip', 'link', 'set', 'wan', 'netns', to.name, 'name', 'wan2')
    await to.batch('ip', [
      'link set wan2 up',
      `addr add 198.18.${own}.2/24 dev wan2`,
      `route add 198.18.${other}.0/24 via 198.18.${own}.1 dev wan2`,
    ])
  }
}

async function measureSwitch(
  { lab }: Scene,
  from: Namespace,
  address: string,
  to: Switch['to'],
): Promise<Switch> {
  const probe = await startProbe(from, address, INTERVAL_MS, lab.folder)
  await sleep(BEFORE_MS)
  const startMs = monotonicMs()
  const ms = to === 'fast' ? FAST_MS : SLOW_MS
  await Promise.all([lab.delay(SITES.leftSecond, ms), lab.delay(SITES.rightSecond, ms)])
  await from.exec('ip', 'addr', to === 'fast' ? 'add' : 'del', HINT, 'dev', 'wan2')
  const changed = (): number | undefined => followedMs(probe.echoes(), startMs, to)
  while (changed() === undefined && monotonicMs() - startMs < PATIENCE_MS) await sleep(100)
  await sleep(AFTER_MS)
  const endMs = monotonicMs()
  const echoes = await probe.stop()
  return {
    to,
    tookMs: followedMs(echoes, startMs, to),
    sent: echoes.length,
    lost: lostBetween(echoes, -Infinity, endMs - UNDER_WAY_MS),
  }
}

/** The steady path is faster than the slow link and slower than the fast one. */
export function followedMs(
  echoes: readonly Echo[],
  startMs: number,
  to: Switch['to'],
): number | undefined {
  const most = 4 * ((SLOW_MS + ACCESS_DELAY_MS) / 2)
  let run = 0
  for (const { sentMs, receivedMs } of echoes) {
    if (receivedMs === undefined || sentMs < startMs) continue
    const roundTripMs = receivedMs - sentMs
    const isWanted =
      to === 'fast' ? roundTripMs < BETWEEN_MS : roundTripMs >= BETWEEN_MS && roundTripMs < most
    run = isWanted ? run + 1 : 0
    if (run === IN_A_ROW) return receivedMs - startMs
  }
  return undefined
}
