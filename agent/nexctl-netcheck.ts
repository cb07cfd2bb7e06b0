/** `nexctl netcheck` for people. */
import { columns } from './columns.ts'
import type {
  LifetimeStarted,
  NetcheckReport,
  NetworkFamilyReport,
} from './control/netcheck-report.ts'

export function netcheckText({ families, servers, clock, portMapping }: NetcheckReport): string {
  const serverRows = servers.map(({ kind, address, protocol, reachable, roundTripMs }) => [
    kind,
    address,
    protocol.toUpperCase(),
    reachable ? 'reachable' : 'not reachable',
    roundTripMs === undefined ? '-' : `${roundTripMs.toFixed(1)} ms`,
  ])
  return [
    ...families.map(familyText),
    columns(['SERVER', 'ADDRESS', 'BY', '', 'RTT'], serverRows),
    ...(portMapping === undefined ? [] : [`port mapping: ${JSON.stringify(portMapping)}`]),
    clockText(clock),
  ].join('\n\n')
}

/** How long it takes, and where the outcome will be. */
export function lifetimeText({ started }: LifetimeStarted): string {
  const each = started.map(({ family, endsWithin }) => `IPv${family} within ${endsWithin} s`)
  return `measuring how long an unused mapping lasts, in the background: ${each.join(', ')}; nexctl netcheck shows the outcome`
}

function familyText(found: NetworkFamilyReport): string {
  const title = `IPv${found.family}: ${found.verdict}`
  if (found.addresses.length === 0 && found.observations.length === 0) return title
  const rows = [
    ['addresses', found.addresses.join(' ') || 'none'],
    ['default route', found.gateway ? 'yes' : 'no'],
    ['UDP', found.udp],
    ['mapping', `${found.mapping}${mappingNote(found)}`],
    ['filtering', found.filtering],
    ['hairpinning', found.hairpinning],
    ['port preserved', found.portPreserved],
    ['lifetime', lifetimeNote(found)],
    ['seen as', found.mapped ?? '-'],
  ]
  const seen = found.observations.map(({ observer, by, mapped, secondsAgo }) => [
    `${by} (${observer})`,
    mapped,
    `${secondsAgo} s ago`,
  ])
  return [
    title,
    indented(columns([], rows)),
    ...(seen.length === 0 ? [] : [indented(columns(['OBSERVER', 'SEES', 'WHEN'], seen))]),
  ].join('\n')
}

function mappingNote({ mapping, mappingProved }: NetworkFamilyReport): string {
  if (mapping === 'unknown') return ''
  return mappingProved ? '' : ' (as far as few observers tell)'
}

function lifetimeNote({ lifetime }: NetworkFamilyReport): string {
  if (lifetime === undefined) return 'not measured (nexctl netcheck --lifetime)'
  const { atLeast, lessThan, secondsAgo, state, endsWithin, reason } = lifetime
  const measured =
    atLeast === undefined
      ? []
      : [
          `${atLeast} s at least${lessThan === undefined ? '' : `, less than ${lessThan} s`} (${secondsAgo} s ago)`,
        ]
  const now =
    state === 'running'
      ? [`being measured, within ${endsWithin} s`]
      : state === 'failed'
        ? [`not measured: ${reason}`]
        : []
  return [...measured, ...now].join('; ')
}

function clockText({ registryAhead, peersAhead }: NetcheckReport['clock']): string {
  const parts = [
    ...(registryAhead === undefined
      ? []
      : [
          Math.abs(registryAhead) <= 1
            ? 'as the registry’s'
            : `${Math.abs(registryAhead)} s ${registryAhead > 0 ? 'behind' : 'ahead of'} the registry’s`,
        ]),
    ...(peersAhead === undefined ? [] : [`at least ${peersAhead} s behind a peer’s`]),
  ]
  return `clock: ${parts.join(', ') || 'nothing to compare it with'}`
}

function indented(text: string): string {
  return text.replace(/^/gm, '  ')
}
