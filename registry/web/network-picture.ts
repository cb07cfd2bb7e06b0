/** The picture of an organization's network: devices on a ring, and a line for each link between them. */
import type { DeviceId } from '../../protocol/keys.ts'
import type { Network, NetworkDevice, NetworkLink } from '../network.ts'
import { type Html, html } from './html.ts'
import {
  type Curve,
  direct,
  type Layout,
  layoutOf,
  type PlacedNode,
  through,
} from './network-layout.ts'
import { deviceStateText, linkText, roundTripText } from './network-words.ts'

/** Devices that can be told apart in one picture. */
export const DRAWN = 40
/** With more links than that, round trips are in the tables alone. */
const LABELLED = 16
/** With more than that, lines are thin. */
const MANY_LINKS = 60
const NAME_CHARACTERS = 20
/** Pixels of a unit, where there is room. */
const SCALE = 1.1

export interface Drawn {
  readonly devices: readonly NetworkDevice[]
  readonly links: readonly NetworkLink[]
}

/** What is drawn: of many devices the chosen one and those in touch with it, else those with the most links, those
 *  that are relayed first. */
export function drawnOf({ devices, links }: Network, chosen?: string): Drawn {
  const own = links.filter(({ a, b }) => chosen === undefined || a === chosen || b === chosen)
  const weights = new Map<DeviceId, number>()
  for (const { a, b, kind } of own) {
    for (const end of [a, b]) {
      weights.set(end, (weights.get(end) ?? 0) + (kind === 'relayed' ? 3 : 1))
    }
  }
  const weightOf = ({ id, state }: NetworkDevice): number =>
    (id === chosen ? 1e6 : 0) + (weights.get(id) ?? 0) * 4 + (state === 'offline' ? 0 : 2)
  const some = devices.toSorted((a, b) => weightOf(b) - weightOf(a)).slice(0, DRAWN)
  const ids = new Set<string>(
    some
      .filter(({ id }) => chosen === undefined || id === chosen || weights.has(id))
      .map(({ id }) => id),
  )
  return {
    devices: devices.filter(({ id }) => ids.has(id)),
    links: own.filter(({ a, b }) => ids.has(a) && ids.has(b)),
  }
}

/** @param hrefOf where a click on a device leads */
export function renderPicture(
  { devices, links }: Drawn,
  nameOf: (id: string) => string,
  hrefOf: (id: DeviceId) => string,
  chosen?: string,
): Html {
  const layout = layoutOf(devices.map(({ name }) => shownName(name).length))
  const places = new Map(devices.map(({ id }, index) => [id, layout.nodes[index]]))
  const curves = links.flatMap((link) => {
    const curve = curveOf(link, places, layout)
    return curve === undefined ? [] : [{ link, curve }]
  })
  const hasRegistry = links.some(
    ({ kind, relay }) => kind === 'relayed' && places.get(relay as DeviceId) === undefined,
  )
  const { box, centre } = layout
  return html`<svg class="network${links.length > MANY_LINKS && ' many'}${devices.length > 14 && ' wide'}" viewBox="${box.join(' ')}" width="${Math.round(box[2] * SCALE)}" role="group" aria-label="Picture of the network; the table below says the same">
<g aria-hidden="true">${curves.map(
    ({ link, curve }) =>
      html`<path class="link ${link.kind}" d="${curve.d}"><title>${nameOf(link.a)} – ${nameOf(link.b)}: ${linkText(link, nameOf)}</title></path>`,
  )}
${hasRegistry && html`<g class="registry"><rect x="${centre.x - 10}" y="${centre.y - 10}" width="20" height="20" rx="5"></rect><text x="${centre.x}" y="${centre.y + 27}" text-anchor="middle">relay</text></g>`}
${links.length <= LABELLED && curves.map(({ link, curve }) => label(link, curve))}</g>
${devices.map((device) => renderNode(device, places.get(device.id), hrefOf(device.id), device.id === chosen))}
</svg>`
}

function shownName(name: string): string {
  return name.length > NAME_CHARACTERS ? `${name.slice(0, NAME_CHARACTERS - 1)}…` : name
}

function curveOf(
  { a, b, kind, relay }: NetworkLink,
  places: ReadonlyMap<DeviceId, PlacedNode | undefined>,
  { centre }: Layout,
): Curve | undefined {
  const [from, to] = [places.get(a), places.get(b)]
  if (from === undefined || to === undefined) return undefined
  if (kind !== 'relayed') return direct(from, to, centre)
  return through(from, to, places.get(relay as DeviceId) ?? centre)
}

function label({ kind, roundTripMs }: NetworkLink, { middle }: Curve): Html | false {
  if (roundTripMs === undefined) return false
  return html`<text class="trip ${kind}" x="${middle.x}" y="${middle.y + 4}" text-anchor="middle">${roundTripText(roundTripMs)}</text>`
}

function renderNode(
  { id, name, state }: NetworkDevice,
  place: PlacedNode | undefined,
  href: string,
  isChosen: boolean,
): Html | false {
  if (place === undefined) return false
  const { x, y, label: at, anchor, turn } = place
  return html`<a id="node-${id}" class="node ${state}${isChosen && ' chosen'}" href="${href}"><title>${name}, ${deviceStateText(state)}</title>
<circle cx="${x}" cy="${y}" r="9"></circle><text x="${at.x}" y="${at.y}" text-anchor="${anchor}"${turn !== 0 && html` transform="rotate(${turn} ${at.x} ${at.y})" dominant-baseline="central"`}>${shownName(name)}</text></a>`
}
