/** The network in words, as its picture and its tables say it. */
import type { DeviceState, LinkReport, Network } from '../network.ts'

export function deviceStateText(state: DeviceState): string {
  switch (state) {
    case 'online':
      return 'online'
    case 'reached':
      return 'in touch with others, not with this registry'
    case 'offline':
      return 'offline'
  }
}

export function roundTripText(roundTripMs: number | undefined): string {
  return roundTripMs === undefined ? '–' : `${roundTripMs} ms`
}

/** `direct`, `relayed by edge`. */
export function pathText(
  { kind, relay }: Pick<LinkReport, 'kind' | 'relay'>,
  nameOf: (id: string) => string,
): string {
  if (kind === 'unknown') return 'in some other way'
  if (kind === 'direct') return kind
  if (relay === undefined) return kind
  return `relayed by ${relay === 'registry' ? 'a registry' : nameOf(relay)}`
}

export function linkText(report: Omit<LinkReport, 'by'>, nameOf: (id: string) => string): string {
  const path = pathText(report, nameOf)
  return report.roundTripMs === undefined ? path : `${path}, ${roundTripText(report.roundTripMs)}`
}

/** `3 of 4 devices online; 2 links direct, 1 relayed`; of others that there are some. */
export function summaryText({ devices, links }: Network): string {
  const online = devices.filter(({ state }) => state === 'online').length
  const reached = devices.filter(({ state }) => state === 'reached').length
  const direct = links.filter(({ kind }) => kind === 'direct').length
  const relayed = links.filter(({ kind }) => kind === 'relayed').length
  const others = links.length - direct - relayed
  const there = `${online} of ${devices.length} ${devices.length === 1 ? 'device' : 'devices'} online`
  const more = reached === 0 ? '' : `, ${reached} more in touch with others`
  const otherwise = others === 0 ? '' : `, ${others} in some other way`
  const linked = `${direct} ${direct === 1 ? 'link' : 'links'} direct, ${relayed} relayed${otherwise}`
  return `${there}${more}; ${links.length === 0 ? 'no links' : linked}`
}
