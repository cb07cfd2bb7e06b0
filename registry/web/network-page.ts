/** The network of an organization as it is now: a picture, and the same in tables. */
import { toHex, utf8 } from '../../crypto/bytes.ts'
import { sha256 } from '../../crypto/hash.ts'
import { PATH_REPORTS } from '../../protocol/limits.ts'
import { PATH_KINDS } from '../../protocol/path-report.ts'
import type { Seconds } from '../../protocol/time.ts'
import type { Network, NetworkDevice, NetworkLink } from '../network.ts'
import { when } from './format.ts'
import { type Html, html } from './html.ts'
import { drawnOf, renderPicture } from './network-picture.ts'
import { deviceStateText, pathText, roundTripText, summaryText } from './network-words.ts'
import { type OrganizationFrame, renderInOrganization } from './organization-frame.ts'

/** What is looked at. */
export interface NetworkLook {
  /** Id of the device whose links alone are shown. */
  readonly device?: string | undefined
  /** In the name of a device. */
  readonly text: string
  readonly path: (typeof LINK_CHOICES)[number]
  /** From 1. */
  readonly page: number
}
export const LINK_CHOICES = ['all', ...PATH_KINDS.filter((kind) => kind !== 'unknown')] as const

export interface NetworkView extends OrganizationFrame {
  readonly network: Network
  readonly look: NetworkLook
  readonly now: Seconds
}

/** Rows of a table on one page. */
const ROWS = 50
/** So many are found without a search: it stands behind them. */
const FEW = 14

export function renderNetwork(view: NetworkView): string {
  return renderInOrganization(
    view,
    'Network',
    html`<p id="network-summary" role="status">${summaryText(view.network)}</p>
${view.network.devices.length > FEW && renderSearch(view)}
${renderLive(view)}
${view.network.devices.length <= FEW && renderSearch(view)}
<p class="faint">Devices tell how they reach at most ${PATH_REPORTS} others each: soon after a path has changed, round trips every few minutes.</p>
<script src="/network.js" defer></script>`,
  )
}

function renderSearch({ organization, look }: NetworkView): Html {
  const home = `/organizations/${organization.id}/network`
  return html`<form method="get" action="${home}" class="row filter" role="search">
<label>Device<input type="search" name="text" value="${look.text}" maxlength="64" placeholder="part of a name"></label>
<label>Links<select name="path">${LINK_CHOICES.map(
    (choice) => html`<option${choice === look.path && html` selected`}>${choice}</option>`,
  )}</select></label>
<button>Filter</button>${(look.text !== '' || look.path !== 'all') && html`<a class="button" href="${home}">Show all</a>`}</form>`
}

/** The part that changes by itself: it names where it comes from, and what it shows. */
export function renderLive(view: NetworkView): Html {
  const { organization, network, look, now } = view
  const nameOf = namesIn(network)
  const home = `/organizations/${organization.id}/network`
  const { device: chosen } = look
  const content = html`${renderDrawing(view, nameOf)}
${renderLinks(linksIn(view, nameOf), view, nameOf)}
${renderDevices(network, view, now)}`
  const version = toHex(sha256(utf8(content.toString()))).slice(0, 16)
  const asked = queryOf({ ...look, device: chosen })
  return html`<div id="network" data-source="${home}/live?${asked}" data-version="${version}" data-summary="${summaryText(network)}">
${content}
</div>`
}

function namesIn({ devices }: Network): (id: string) => string {
  const names = new Map<string, string>(devices.map(({ id, name }) => [id, name]))
  return (id) => names.get(id) ?? 'a device that was removed'
}

function renderDrawing(
  { organization, network, look }: NetworkView,
  nameOf: (id: string) => string,
): Html {
  const home = `/organizations/${organization.id}/network`
  const { device: chosen } = look
  if (network.devices.length === 0) {
    return html`<section class="card"><p>No device yet: nothing to see.</p></section>`
  }
  const drawn = drawnOf(network, chosen)
  const hrefOf = (id: string): string => (id === chosen ? home : `${home}?device=${id}`)
  const some = drawn.devices.length < network.devices.length
  return html`<section class="card"><h2 class="hidden">Picture</h2>
${chosen !== undefined && html`<p>What <strong>${nameOf(chosen)}</strong> is in touch with. <a href="${home}">Show the whole network</a></p>`}
<div class="scroll picture" tabindex="0" role="region" aria-label="Picture">${renderPicture(drawn, nameOf, hrefOf, chosen)}</div>
<ul class="legend"><li class="direct">direct</li><li class="relayed">relayed</li><li class="online">online</li><li class="reached">in touch with others only</li><li class="offline">offline</li></ul>
${some && chosen === undefined && html`<p class="faint">Drawn are ${drawn.devices.length} of ${network.devices.length} devices, those with the most links; the tables have all.</p>`}</section>`
}

function linksIn(
  { network, look }: NetworkView,
  nameOf: (id: string) => string,
): readonly NetworkLink[] {
  const text = look.text.trim().toLowerCase()
  return network.links.filter(
    ({ a, b, kind }) =>
      (look.path === 'all' || look.path === kind) &&
      (look.device === undefined || a === look.device || b === look.device) &&
      (text === '' || [a, b].some((id) => nameOf(id).toLowerCase().includes(text))),
  )
}

function renderLinks(
  links: readonly NetworkLink[],
  view: NetworkView,
  nameOf: (id: string) => string,
): Html {
  const { look, now } = view
  return html`<section class="card"><h2>Links <span class="count">${links.length}</span></h2>
${links.length === 0 && html`<p>${view.network.links.length === 0 ? 'No device has told of a path to another yet.' : 'No link is like that.'}</p>`}
${
  links.length > 0 &&
  html`<div class="scroll" tabindex="0" role="region" aria-label="Links"><table class="left">
<thead><tr><th>Between</th><th>Round trip</th><th>Path</th><th>As told by</th></tr></thead>
<tbody>${rowsOf(links, look).map((link) => renderLink(link, nameOf, now))}</tbody></table></div>`
}
${renderPages(links.length, view)}</section>`
}

function renderLink(link: NetworkLink, nameOf: (id: string) => string, now: Seconds): Html {
  const isRelayed = link.kind === 'relayed'
  return html`<tr>
<td><strong>${nameOf(link.a)}</strong> – <strong>${nameOf(link.b)}</strong></td>
<td>${roundTripText(link.roundTripMs)}</td>
<td><span class="path ${link.kind}">${pathText(link, nameOf)}</span>${link.reports
    .slice(1)
    .map(
      (report) =>
        (report.kind !== link.kind || report.relay !== link.relay) &&
        html`<br><span class="faint">${nameOf(report.by)}: ${pathText(report, nameOf)}</span>`,
    )}${isRelayed && html`<br><span class="faint">try <code>nexctl why ${nameOf(link.b)}</code> on ${nameOf(link.a)}</span>`}</td>
<td>${link.reports.map(({ by }) => nameOf(by)).join(', ')}<br><span class="faint">${when(link.saidAt, now)}</span></td></tr>`
}

function renderDevices({ devices, links }: Network, view: NetworkView, now: Seconds): Html | false {
  const { look, organization } = view
  const text = look.text.trim().toLowerCase()
  const ends = new Set<string>(
    links
      .filter(({ a, b }) => [a, b].some((id) => id === look.device))
      .flatMap(({ a, b }) => [a, b]),
  )
  const shown = devices.filter(
    ({ id, name }) =>
      (look.device === undefined || id === look.device || ends.has(id)) &&
      (text === '' || name.toLowerCase().includes(text)),
  )
  if (devices.length === 0) return false
  return html`<section class="card"><h2>Devices <span class="count">${shown.length}</span></h2>
<div class="scroll" tabindex="0" role="region" aria-label="Devices"><table class="left">
<thead><tr><th>Name</th><th>State</th><th>Direct</th><th>Relayed</th><th>Owner</th></tr></thead>
<tbody>${rowsOf(shown, look).map((device) => renderDevice(device, links, organization.id, now))}</tbody></table></div>
${shown.length > ROWS && renderPages(shown.length, view)}</section>`
}

function renderDevice(
  device: NetworkDevice,
  links: readonly NetworkLink[],
  organization: string,
  now: Seconds,
): Html {
  const { id, name, owner, state, seenAt } = device
  const own = links.filter(({ a, b }) => a === id || b === id)
  const of = (wanted: NetworkLink['kind']): number =>
    own.filter(({ kind }) => kind === wanted).length
  return html`<tr><td><a href="/organizations/${organization}/network?device=${id}"><strong>${name}</strong></a></td>
<td><span class="state ${state}">${deviceStateText(state)}</span>${state === 'offline' && html`, seen ${when(seenAt, now)}`}</td>
<td>${of('direct')}</td><td>${of('relayed')}</td><td>${owner}</td></tr>`
}

function rowsOf<T>(rows: readonly T[], look: NetworkLook): readonly T[] {
  const page = pageIn(rows.length, look)
  return rows.slice((page - 1) * ROWS, page * ROWS)
}

function pagesOf(count: number): number {
  return Math.max(1, Math.ceil(count / ROWS))
}

/** The tables turn their pages together; the shorter one stays at its last. */
function pageIn(count: number, { page }: NetworkLook): number {
  return Math.min(page, pagesOf(count))
}

function renderPages(count: number, { organization, look }: NetworkView): Html | false {
  const pages = pagesOf(count)
  if (pages <= 1) return false
  const to = (page: number, name: string): Html =>
    html`<a class="button small" href="/organizations/${organization.id}/network?${queryOf({ ...look, page })}">${name}</a>`
  const page = pageIn(count, look)
  return html`<p class="actions">${page > 1 && to(page - 1, 'Earlier rows')}<span class="faint">Page ${page} of ${pages}</span>${page < pages && to(page + 1, 'Later rows')}</p>`
}

function queryOf({ device, text, path, page }: NetworkLook): string {
  return new URLSearchParams({
    ...(device !== undefined && { device }),
    ...(text !== '' && { text }),
    ...(path !== 'all' && { path }),
    ...(page > 1 && { page: String(page) }),
  }).toString()
}
