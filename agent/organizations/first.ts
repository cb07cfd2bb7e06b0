/** First: the process of an agent's first organization, which starts those of the others. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { prefixAddress } from '../../protocol/address.ts'
import { currentManifest } from '../../protocol/belief.ts'
import type { Log } from '../../protocol/log.ts'
import type { OrganizationReport } from '../control/organization-report.ts'
import type { Daemon } from '../daemon.ts'
import { NEXD } from '../program-files.ts'
import { openArbiter } from './arbiter.ts'
import { LABEL_VARIABLE } from './further.ts'
import { readKeptList } from './kept-list.ts'
import type { Neighbourhood } from './neighbourhood.ts'
import type { FirstPlace, Place } from './place.ts'
import type { Launch } from './supervised.ts'

export interface FirstOptions extends FirstPlace {
  /** Options of `nexd up` that all organizations share, as on a command line. */
  readonly shared: readonly string[]
  readonly isHostShared: boolean
  /** Aborted when this process is to end. */
  readonly stop: AbortSignal
  readonly log: Log
}

/** Throws OperatorError where the list of the others can't be read. */
export async function firstNeighbourhood(options: FirstOptions): Promise<Neighbourhood> {
  const { stateDir, listenPort, isHostShared, stop, log } = options
  const keptFile = join(stateDir, 'organizations.json')
  const kept = await readKeptList(keptFile)
  const arbiter = await openArbiter({
    file: join(stateDir, 'held.json'),
    ports: [listenPort, listenPort + 1],
    others: kept.map(({ label }) => label),
    ...{ isHostShared, log },
  })
  return {
    neighbours: arbiter.seat,
    start: async (daemon, socket, ending) => {
      const { Organizations } = await import('./organizations.ts')
      const { clock } = daemon.options
      return ending.use(
        new Organizations({
          place: options,
          ...{ arbiter, keptFile, kept, stop, clock, log },
          launch: (label, place, joining) => launchOf(options, label, place, joining),
          first: () => firstReport(daemon, socket),
        }),
      )
    },
  }
}

function launchOf(
  { stateDir, shared }: FirstOptions,
  label: string,
  { folder, socket, interfaceName, listenPort, meshListen }: Place,
  { registry, registrationKey }: { readonly registry?: string; readonly registrationKey?: string },
): Launch {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('NEXODUS_'))
  return {
    command: [
      ...([process.execPath, ...process.execArgv] as [string, ...string[]]),
      ...[
        fileURLToPath(NEXD),
        'up',
        '--state-dir',
        folder,
        '--socket',
        socket,
        '--interface',
        interfaceName,
      ],
      ...['--listen-port', `${listenPort}`, '--mesh-listen', ...meshListen],
      ...(registry === undefined ? [] : ['--registry', registry]),
      ...shared,
    ],
    env: {
      ...Object.fromEntries(own),
      // All run the same code: it is compiled once.
      NODE_COMPILE_CACHE: join(stateDir, 'compile-cache'),
      [LABEL_VARIABLE]: label,
      // A command line is for everybody to read.
      ...(registrationKey === undefined ? {} : { NEXODUS_REGISTRATION_KEY: registrationKey }),
    },
  }
}

function firstReport(
  { options, join: joined, plan }: Daemon,
  socket: string,
): Omit<OrganizationReport, 'label' | 'refused' | 'isRefused'> {
  const { knowledge, clock, tunnel } = options
  const state = knowledge.state()
  const name = currentManifest(state, clock.now())?.body.name ?? ''
  return {
    organization: { id: state.organization, name },
    registry: joined.registry,
    state: 'running',
    addresses: (plan.own?.certificate.addresses ?? []).map(prefixAddress),
    interface: tunnel.interfaceName,
    socket,
  }
}
