/** One event: a pair whose echoes flow both ways, what happens to it, and how long until they flow again. */
import { setTimeout as sleep } from 'node:timers/promises'
import { monotonicMs, type Probe, startProbe } from '../lab/probe.ts'
import { type Field, hostOf, type Network } from '../products/product.ts'
import type { RoamEvent } from './events.ts'
import { bothRecoveredMs, isFlowing } from './recovery.ts'

const INTERVAL_MS = 50
/** For a pair to connect before anything happens to it. */
const CONNECT_MS = 60_000
/** Paths become direct, and what was learned reaches the disk. */
const SETTLE_MS = 6000
/** From the death of the server to the event. */
const DEAD_MS = 2000

export interface Roamed {
  /** Undefined: not within the time. */
  readonly recoveredMs: number | undefined
}

/** Throws where the pair does not connect even before the event. */
export async function runEvent(
  event: RoamEvent,
  field: Field,
  network: Network,
  { isDead, timeoutMs }: { readonly isDead: boolean; readonly timeoutMs: number },
): Promise<Roamed> {
  await Promise.all([network.startServer(), network.startHub()])
  for (const member of event.running) network.start(member)
  const [one, other] = event.ends
  const watch = (from: 'a' | 'b' | 'c', to: 'a' | 'b' | 'c'): Promise<Probe> =>
    startProbe(hostOf(field, from).namespace, network.address(to), INTERVAL_MS, field.lab.folder)
  // A pair that has not met yet cannot flow: those that run are watched instead.
  const isNew = !event.running.includes(one)
  const before = isNew ? await Promise.all([watch('a', 'b'), watch('b', 'a')]) : []
  const probes: Probe[] = isNew ? [] : await Promise.all([watch(one, other), watch(other, one)])
  const connecting = [...before, ...probes]
  try {
    await untilFlowing(connecting)
    await sleep(SETTLE_MS)
    if (isDead) {
      await network.killServer()
      await sleep(DEAD_MS)
    }
    if (isNew) probes.push(...(await Promise.all([watch(one, other), watch(other, one)])))
    await event.happen(field, network)
    const eventMs = monotonicMs()
    const recovered = (): number | undefined =>
      bothRecoveredMs(probes[0]?.echoes() ?? [], probes[1]?.echoes() ?? [], eventMs)
    while (recovered() === undefined && monotonicMs() - eventMs < timeoutMs) await sleep(200)
    return { recoveredMs: recovered() }
  } finally {
    await Promise.all([...before, ...probes].map((probe) => probe.stop()))
    await Promise.all((['a', 'b', 'c'] as const).map((member) => network.stop(member)))
  }
}

async function untilFlowing(probes: readonly Probe[]): Promise<void> {
  const startMs = monotonicMs()
  while (!probes.every((probe) => isFlowing(probe.echoes(), monotonicMs()))) {
    if (monotonicMs() - startMs > CONNECT_MS) throw new Error('did not connect before the event')
    await sleep(200)
  }
}
