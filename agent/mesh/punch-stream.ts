/** Punch messages over libp2p streams: by every connection to the peer at once. */
import type { Stream } from '@libp2p/interface'
import type { Clock } from '../../protocol/clock.ts'
import { MalformedError } from '../../protocol/errors.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import type { Log } from '../../protocol/log.ts'
import { Pace } from '../../protocol/pace.ts'
import {
  encodePunch,
  PUNCH_BYTES,
  PUNCH_PROTOCOL,
  type Punch,
  parsePunch,
} from '../../protocol/punch.ts'
import { newFloodLog } from '../flood-log.ts'
import { frameChannel } from './frames.ts'
import { deviceOfLink, type Link, type Links, nameOfLink } from './links.ts'
import type { MeshNode } from './node.ts'
import { serve } from './streams.ts'

const PUNCH_MS = 5000
const STREAMS = 8
/** Punches of one member that are acted upon: as many as its paths send (PUNCH_SPACING_MS), and some. */
const PACE = { burst: 16, perSecond: 5 } as const
/** More than so many beyond that, in a minute, are worth a line. */
const MANY = 20

export interface PunchOptions {
  readonly links: Links
  onPunch(from: DeviceId, punch: Punch): void
  onFault(link: Link, error: unknown): void
  readonly clock: Clock
  readonly log: Log
}

export interface Punches {
  /** Resolves to whether one of the links took it. */
  send(links: readonly Link[], punch: Punch): Promise<boolean>
}

export async function startPunches(mesh: MeshNode, options: PunchOptions): Promise<Punches> {
  /** The same message comes by several links; an older one that was held up tells nothing new. */
  const newest = new Map<DeviceId, number>()
  const pace = new Pace(PACE)
  const floods = newFloodLog(options.log, MANY)
  await serve(
    mesh,
    options.links,
    PUNCH_PROTOCOL,
    { maxInboundStreams: STREAMS },
    async (stream, link) => {
      const signal = AbortSignal.timeout(PUNCH_MS)
      const device = deviceOfLink(link)
      if (device === undefined) throw new MalformedError('punch: not from a device')
      const punch = parsePunch(await frameChannel(stream, PUNCH_BYTES, signal).read())
      if (punch.sequence > (newest.get(device) ?? -1)) {
        newest.set(device, punch.sequence)
        const nowMs = options.clock.monotonicMs()
        if (pace.spend(device, 1, nowMs)) options.onPunch(device, punch)
        else floods.count('mesh.member-floods', nameOfLink(link), nowMs, { with: 'punches' })
      }
      await stream.close({ signal })
    },
    options.onFault,
  )
  return {
    send: async (links, punch) => {
      const frame = encodePunch(punch)
      const sent = links.map(async (link) => sendOn(link, frame))
      return Promise.any(sent).then(
        () => true,
        () => false,
      )
    },
  }
}

async function sendOn({ connection }: Link, frame: Uint8Array): Promise<void> {
  const signal = AbortSignal.timeout(PUNCH_MS)
  const stream: Stream = await connection.newStream(PUNCH_PROTOCOL, {
    signal,
    runOnLimitedConnection: true,
  })
  try {
    await frameChannel(stream, PUNCH_BYTES, signal).write(frame)
    await stream.close({ signal })
  } catch (error) {
    stream.abort(error instanceof Error ? error : new Error(String(error)))
    throw error
  }
}
