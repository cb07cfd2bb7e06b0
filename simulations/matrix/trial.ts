/** One run: both daemons start, and one host's echoes to the other tell the rest. */
import { setTimeout as sleep } from 'node:timers/promises'
import { monotonicMs, startProbe } from '../lab/probe.ts'
import { ACCESS_DELAY_MS } from '../lab/scene.ts'
import type { Field, Network } from '../products/product.ts'
import { hostOf } from '../products/product.ts'
import { type Outcome, outcomeOf } from './outcome.ts'
import type { Pair } from './pairs.ts'

const INTERVAL_MS = 50
/** Echoes leave before the daemons start, so that none is missed. */
const BEFORE_MS = 300
/** After the first answer: does a relayed path become direct? */
const AFTER_MS = 6000
/** Two access links there and two back, and half as much again: by the hub it would be twice as long. */
const DIRECT_BELOW_MS = 4 * ACCESS_DELAY_MS * 1.5
/** Hosts of one site have no access link between them. */
const DIRECT_BELOW_ONE_SITE_MS = 30

export async function runTrial(
  pair: Pair,
  field: Field,
  network: Network,
  timeoutMs: number,
): Promise<Outcome> {
  const { namespace } = hostOf(field, 'a')
  const probe = await startProbe(namespace, network.address('b'), INTERVAL_MS, field.lab.folder)
  await sleep(BEFORE_MS)
  const startMs = monotonicMs()
  network.start('a')
  network.start('b')
  const isAnswered = (): boolean =>
    probe.echoes().some(({ receivedMs }) => receivedMs !== undefined)
  while (!isAnswered() && monotonicMs() - startMs < timeoutMs) await sleep(100)
  if (isAnswered()) await sleep(AFTER_MS)
  const endMs = monotonicMs()
  const echoes = await probe.stop()
  await Promise.all([network.stop('a'), network.stop('b')])
  const below = pair.isOneSite ? DIRECT_BELOW_ONE_SITE_MS : DIRECT_BELOW_MS
  return outcomeOf(echoes, startMs, endMs, below)
}
