/** The sprayer of a paths shell. */
import type { DeviceId } from '../../../protocol/keys.ts'
import type { LocalCandidates } from '../candidates.ts'
import type { RecordedChecks } from '../check-record.ts'
import type { CheckSocket } from '../check-socket.ts'
import type { PathsOptions } from '../paths.ts'
import type { PeerPath } from '../peer-path.ts'
import { Sprayer } from './sprayer.ts'

export interface SprayParts {
  readonly checks: RecordedChecks
  readonly local: LocalCandidates
  readonly paths: ReadonlyMap<DeviceId, PeerPath>
  readonly socket: CheckSocket
}

/** Undefined where the operator does not want it. */
export function newSprayer(
  options: PathsOptions,
  { checks, local, paths, socket }: SprayParts,
): Sprayer | undefined {
  if (options.spray === undefined) return undefined
  return new Sprayer({
    ...options,
    host: options.spray,
    checks,
    own: () => ({ candidates: local.current(), nat: local.nat.reports() }),
    stateOf: (device) => paths.get(device)?.state,
    heardFrom: (device, endpoint) => paths.get(device)?.give({ kind: 'check-received', endpoint }),
    send: (datagram, to) => void socket.send(datagram, to),
    say: (device, spray) => options.sendPunch(device, local.current(), spray),
    onProbing: (address) => local.nat.mayHaveSent(address),
  })
}
