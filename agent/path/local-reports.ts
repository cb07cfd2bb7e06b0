/** Local reports: tells what has changed about this device's reachability, in bunches: each telling becomes a
 *  statement that every member hears. */
import { formatEndpoint } from '../../protocol/address.ts'
import type { Cancellable, Clock } from '../../protocol/clock.ts'
import type { Candidate } from '../../protocol/endpoint-update.ts'
import type { NatMapping, NatReport } from '../../protocol/nat-report.ts'
import { newBucket } from './bucket.ts'

/** Changes are reported together after so long, milliseconds: the servers' answers come in one bunch. */
const REPORT_DELAY_MS = 30
/** Changes that are told at once, and the time for one more of them, milliseconds: whoever answers each check with
 *  another address must not have this device talk all the time, for others stop listening to one that does
 *  (STATEMENTS in pace.ts). A host that moves tells two or three. */
const REPORTS = 12
const NEXT_REPORT_MS = 3000
/** What is no more than a hint waits longer, for more of it, milliseconds: nobody waits for it. */
const HINT_DELAY_MS = 10_000

export type LocalKnowledge = [readonly Candidate[], NatMapping, readonly NatReport[]]

export interface LocalReports {
  /** Something may have changed. */
  soon(): void
  close(): void
}

export function startReports(options: {
  now(): LocalKnowledge
  /** Called when any changed. */
  onChange(...known: LocalKnowledge): void
  /** Called after that, where the candidates are others. */
  onCandidates?(): void
  readonly clock: Clock
}): LocalReports {
  const { clock } = options
  let told = { candidates: '', mapping: '', nat: '' }
  let timer: Cancellable | undefined
  let hintTimer: Cancellable | undefined
  const pace = newBucket(REPORTS, 1000 / NEXT_REPORT_MS)
  const later = (ms: number): void => {
    timer ??= clock.after(ms, () => {
      timer = undefined
      report(false)
    })
  }
  const report = (areHintsDue: boolean): void => {
    const known = options.now()
    const [candidates, mapping, nat] = known
    // Which of two is seen more often changes all the time.
    const said = candidates
      .map((one) => `${one.kind} ${formatEndpoint(one)}`)
      .toSorted()
      .join()
    const text = { candidates: said, mapping, nat: JSON.stringify(nat) }
    const areOthers = text.candidates !== told.candidates
    if (!areOthers && text.mapping === told.mapping) {
      if (text.nat === told.nat) return
      if (!areHintsDue) {
        hintTimer ??= clock.after(HINT_DELAY_MS, () => {
          hintTimer = undefined
          report(true)
        })
        return
      }
    }
    if (!pace.take(clock.monotonicMs())) {
      later(NEXT_REPORT_MS)
      return
    }
    told = text
    options.onChange(...known)
    if (areOthers) options.onCandidates?.()
  }
  return {
    soon: () => later(REPORT_DELAY_MS),
    close: () => {
      timer?.cancel()
      hintTimer?.cancel()
    },
  }
}
