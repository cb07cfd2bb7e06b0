/** Why as text: the verdict, then both sides in columns, then the checks either way. */
import { columns } from '../columns.ts'
import type { WhyReport, WhySide } from './report.ts'
import { duration } from './wording.ts'

type Row = readonly [label: string, ours: readonly string[], theirs: readonly string[]]

export function whyText(report: WhyReport): string {
  const { verdict, self, peer, ours, theirs } = report
  return [
    verdict.sentence,
    `What to do: ${verdict.advice}`,
    '',
    columns([], knownRows(report)),
    '',
    columns(
      ['', self.name, theirs === undefined ? `${peer.name} (not asked)` : peer.name],
      sideRows(report).flatMap(spread),
    ),
    ...checks(self.name, peer.name, ours),
    ...(theirs === undefined ? [] : checks(peer.name, self.name, theirs)),
  ].join('\n')
}

function knownRows(report: WhyReport): readonly string[][] {
  const { peer, known, reply, clock } = report
  const { certificate, update, registry } = known
  const reason = reply.reason === undefined ? '' : `: ${reply.reason}`
  const rows: (readonly [string, string | undefined])[] = [
    ['asked', `${reply.kind}${reason}`],
    [
      'membership',
      certificate === undefined
        ? known.standing
        : `${known.standing}, certificate until ${certificate.notAfter}`,
    ],
    [
      'last update',
      update &&
        `${duration(update.ageSeconds * 1000)} ago: ${update.natMapping} mapping, ${update.candidates.join(' ') || 'no candidates'}, ${update.system}`,
    ],
    ['clock', clock && clockText(clock)],
    ['policy', policyText(report)],
    [
      'registry',
      `${registry.connected ? 'connected' : 'not connected'}, ${registry.reachable ? 'answered' : 'did not answer'} last; ${known.connections} mesh connections`,
    ],
  ]
  return rows.flatMap(([label, value]) =>
    value === undefined ? [] : [[label === 'clock' ? `clock of ${peer.name}` : label, value]],
  )
}

function policyText({ self, peer, known }: WhyReport): string {
  const { ours, theirs, to, from } = known.policy
  const held = [
    `${self.name}: ${sideText(ours)}`,
    ...(theirs === undefined ? [] : [`${peer.name}: ${sideText(theirs)}`]),
  ]
  const ways = [
    ...(to === undefined ? [] : [`to ${peer.name}: ${PASSING[to]}`]),
    ...(from === undefined ? [] : [`from it: ${PASSING[from]}`]),
  ]
  return [...held, ...ways].join('; ')
}

const PASSING = {
  ping: 'ping passes',
  something: 'ping does not pass, something does',
  nothing: 'nothing passes',
} as const

function sideText({ revision, state }: WhyReport['known']['policy']['ours']): string {
  return revision === 0 ? 'none' : `revision ${revision} ${state}`
}

function clockText({ aheadMs, errorMs }: { aheadMs: number; errorMs: number }): string {
  const side = aheadMs >= 0 ? 'ahead' : 'behind'
  return `${(Math.abs(aheadMs) / 1000).toFixed(2)} s ${side} of this one's (± ${(errorMs / 1000).toFixed(2)} s)`
}

function sideRows({ ours, theirs }: WhyReport): readonly Row[] {
  const row = (label: string, read: (side: WhySide) => string | readonly string[]): Row => [
    label,
    asLines(read(ours)),
    theirs === undefined ? [] : asLines(read(theirs)),
  ]
  return [
    row('version', ({ system }) => system),
    row('certificate until', (side) => side.certificateNotAfter ?? 'none'),
    row('manifest', (side) =>
      side.policyUnderstood
        ? `${side.manifestSequence}`
        : `${side.manifestSequence}, not understood`,
    ),
    row('path', pathText),
    row('last heard', ({ path }) => ago(path.heardAgoMs)),
    row('relays', ({ relay }) => relay.names.join(' ') || 'none'),
    row('relay checks', relayText),
    row('handshake', handshakeText),
    row('WireGuard to', ({ wireguard }) => wireguard?.endpoint ?? (wireguard ? 'the agent' : '-')),
    row('received, sent', ({ wireguard }) =>
      wireguard === undefined ? '-' : `${wireguard.receivedBytes} B, ${wireguard.sentBytes} B`,
    ),
    row('port, MTU', ({ listenPort, mtu }) => `${listenPort}, ${mtu}`),
    row('UDP', ({ udp }) => udp),
    row('NAT mapping', ({ natMapping }) => natMapping),
    row('candidates', ({ candidates }) => candidates),
    row('mesh links', ({ links }) => links.join(' ') || 'none'),
    row('dropped', ({ drops }) => drops.map(({ reason, count }) => `${count} ${reason}`)),
    row('not sent', ({ leftOut }) => leftOut.map(({ prefix, reason }) => `${prefix}: ${reason}`)),
  ]
}

function asLines(value: string | readonly string[]): readonly string[] {
  return typeof value === 'string' ? [value] : value.length > 0 ? value : ['-']
}

/** A line for each value of the longer side. */
function spread([label, ours, theirs]: Row): readonly string[][] {
  const count = Math.max(ours.length, theirs.length)
  return Array.from({ length: count }, (_, index) => [
    index === 0 ? label : '',
    ours[index] ?? '',
    theirs[index] ?? '',
  ])
}

function pathText({ path }: WhySide): string {
  const endpoint = path.endpoint === undefined ? '' : ` ${path.endpoint}`
  return `${path.phase}${endpoint}${took(path.roundTripMs)}, for ${duration(path.sinceAgoMs)}`
}

function relayText({ relay }: WhySide): string {
  return `${relay.sent} sent, ${relay.answered} answered, ${relay.received} received${took(relay.roundTripMs)}`
}

function handshakeText({ wireguard }: WhySide): string {
  if (wireguard === undefined) return 'no such peer'
  const { handshakeAgoMs, missingForMs } = wireguard
  const missing = missingForMs === undefined ? '' : `, missing for ${duration(missingForMs)}`
  return `${ago(handshakeAgoMs)}${missing}`
}

function checks(from: string, to: string, { pairs }: WhySide): readonly string[] {
  const title = `Checks of ${from} to ${to}:`
  if (pairs.length === 0) return ['', `${title} none`]
  return [
    '',
    title,
    columns(
      ['ENDPOINT', 'KIND', 'SENT', 'LAST', 'ANSWERED', 'LAST', 'RTT', 'RECEIVED', 'LAST'],
      pairs.map((pair) => [
        pair.endpoint,
        pair.kind,
        String(pair.sent),
        ago(pair.sentAgoMs),
        String(pair.answered),
        ago(pair.answeredAgoMs),
        pair.roundTripMs === undefined ? '-' : `${pair.roundTripMs.toFixed(1)} ms`,
        String(pair.received),
        ago(pair.receivedAgoMs),
      ]),
    ),
  ]
}

function ago(ms: number | undefined): string {
  return ms === undefined ? 'never' : `${duration(ms)} ago`
}

function took(roundTripMs: number | undefined): string {
  return roundTripMs === undefined ? '' : `, ${roundTripMs.toFixed(1)} ms`
}
