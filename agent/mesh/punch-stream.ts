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
  const newest = newestOf(options.links)
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
      if (newest.isNews(device, link, punch.sequence)) {
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

/** The newest punch of each device. The same message comes by several links, and an older one that was held up tells
 *  nothing new; by a link that was made since, it is of a device that restarted with its clock set back. */
function newestOf(links: Links) {
  const newest = new Map<DeviceId, { readonly sequence: number; readonly by: readonly Link[] }>()
  links.onDown((link) => {
    const device = deviceOfLink(link)
    if (device !== undefined && links.to(link.peer).length === 0) newest.delete(device)
  })
  return {
    isNews(device: DeviceId, link: Link, sequence: number): boolean {
      const last = newest.get(device)
      const isOlder = last !== undefined && sequence < last.sequence
      if (sequence === last?.sequence || (isOlder && last.by.includes(link))) return false
      newest.set(device, { sequence, by: links.to(link.peer) })
      return true
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
