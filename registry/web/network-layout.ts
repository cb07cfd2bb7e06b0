/** Where devices and links of the network's picture lie: pure, and the same for the same names, so that a picture that
 *  changes does not jump. Units are those of the SVG's view box. */

export interface Point {
  readonly x: number
  readonly y: number
}

export interface PlacedNode extends Point {
  /** Where its name begins or ends. */
  readonly label: Point
  readonly anchor: 'start' | 'middle' | 'end'
  /** Degrees by which its name is turned. */
  readonly turn: number
}

export interface Layout {
  readonly width: number
  readonly height: number
  /** Where a registry that relays is drawn. */
  readonly centre: Point
  readonly nodes: readonly PlacedNode[]
}

/** So many names can be read as they are; more are turned outwards. */
const UPRIGHT = 14
const SMALL = { width: 640, height: 420, radiusX: 205, radiusY: 138 } as const
const MANY = { side: 760, radius: 232 } as const
const GAP = 18

/** On a ring, from the top, clockwise. */
export function layoutOf(count: number): Layout {
  return count <= UPRIGHT ? upright(count) : turned(count)
}

function angleOf(index: number, count: number): number {
  // Two lie side by side, for names need width.
  const first = count === 2 ? Math.PI : -Math.PI / 2
  return first + (2 * Math.PI * index) / Math.max(1, count)
}

function upright(count: number): Layout {
  const { width, height, radiusX, radiusY } = SMALL
  const centre = { x: width / 2, y: height / 2 }
  const nodes = Array.from({ length: count }, (_, index): PlacedNode => {
    const angle = angleOf(index, count)
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)]
    const x = round(centre.x + (count === 1 ? 0 : radiusX * cos))
    const y = round(centre.y + (count === 1 ? 0 : radiusY * sin))
    const isSide = Math.abs(cos) > 0.3 && count > 1
    const label = isSide
      ? { x: x + Math.sign(cos) * GAP, y: round(y + 5 + sin * 6) }
      : { x, y: y + (sin > 0 || count === 1 ? GAP + 14 : -GAP) }
    return { x, y, label, turn: 0, anchor: isSide ? (cos > 0 ? 'start' : 'end') : 'middle' }
  })
  return { width, height, centre, nodes }
}

function turned(count: number): Layout {
  const { side, radius } = MANY
  const centre = { x: side / 2, y: side / 2 }
  const nodes = Array.from({ length: count }, (_, index): PlacedNode => {
    const angle = angleOf(index, count)
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)]
    const at = (distance: number): Point => ({
      x: round(centre.x + distance * cos),
      y: round(centre.y + distance * sin),
    })
    const degrees = (angle * 180) / Math.PI
    const isLeft = cos < -1e-9
    return {
      ...at(radius),
      label: at(radius + GAP),
      turn: round(isLeft ? degrees + 180 : degrees),
      anchor: isLeft ? 'end' : 'start',
    }
  })
  return { width: side, height: side, centre, nodes }
}

export interface Curve {
  /** Of an SVG path. */
  readonly d: string
  /** Where something can be said about it. */
  readonly middle: Point
}

/** How far lines are drawn to the centre: 0 not at all, 1 all the way. */
const BEND = 0.3

/** Straight where the two are opposites, bent inwards where they are neighbours. */
export function direct(a: Point, b: Point, centre: Point): Curve {
  const half = { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 }
  const control = between(half, centre, BEND)
  const middle = { x: round((half.x + control.x) / 2), y: round((half.y + control.y) / 2) }
  return { d: `M${at(a)}Q${at(control)} ${at(b)}`, middle }
}

/** By way of the relay, passing it a little on the side of the two. */
export function through(a: Point, b: Point, relay: Point): Curve {
  const half = { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 }
  const apart = Math.hypot(half.x - relay.x, half.y - relay.y)
  const via = between(relay, half, apart === 0 ? 0 : Math.min(0.5, 12 / apart))
  const [before, after] = [between(a, via, 0.62), between(b, via, 0.62)]
  return {
    d: `M${at(a)}C${at(before)} ${at(via)} ${at(via)}S${at(after)} ${at(b)}`,
    middle: between(via, a, 0.5),
  }
}

function between(from: Point, to: Point, share: number): Point {
  return { x: round(from.x + (to.x - from.x) * share), y: round(from.y + (to.y - from.y) * share) }
}

function at({ x, y }: Point): string {
  return `${x} ${y}`
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
