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
  /** Left and upper end of what is seen, its width and its height. */
  readonly box: readonly [x: number, y: number, width: number, height: number]
  /** Where a registry that relays is drawn. */
  readonly centre: Point
  readonly nodes: readonly PlacedNode[]
}

/** So many names can be read as they are; more are turned outwards. */
const UPRIGHT = 14
const SMALL = { radiusX: 190, radiusY: 138 } as const
const MANY = { side: 860, radius: 240 } as const
const GAP = 18
/** Of a letter, about; of a line, and of what is left free around. */
const LETTER = 9.5
const LINE = 18
const MARGIN = 14

/** On a ring, from the top, clockwise.
 *  @param names how many characters each has */
export function layoutOf(names: readonly number[]): Layout {
  return names.length <= UPRIGHT ? upright(names) : turned(names.length)
}

function angleOf(index: number, count: number): number {
  // Two lie side by side, for names need width.
  const first = count === 2 ? Math.PI : -Math.PI / 2
  return first + (2 * Math.PI * index) / Math.max(1, count)
}

function upright(names: readonly number[]): Layout {
  const { radiusX, radiusY } = SMALL
  const count = names.length
  const nodes = names.map((_, index): PlacedNode => {
    const angle = angleOf(index, count)
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)]
    const x = count === 1 ? 0 : round(radiusX * cos)
    const y = count === 1 ? 0 : round(radiusY * sin)
    const isSide = Math.abs(cos) > 0.3 && count > 1
    const label = isSide
      ? { x: round(x + Math.sign(cos) * GAP), y: round(y + 5 + sin * 6) }
      : { x, y: round(y + (sin > 0 || count === 1 ? GAP + 14 : -GAP)) }
    return { x, y, label, turn: 0, anchor: isSide ? (cos > 0 ? 'start' : 'end') : 'middle' }
  })
  return { box: boxOf(nodes, names), centre: { x: 0, y: 0 }, nodes }
}

/** Around nodes and names. */
function boxOf(nodes: readonly PlacedNode[], names: readonly number[]): Layout['box'] {
  const spans = nodes.map(({ x, label, anchor }, index): [number, number] => {
    const width = (names[index] ?? 0) * LETTER
    const before = anchor === 'start' ? 0 : anchor === 'end' ? width : width / 2
    return [Math.min(x - GAP, label.x - before), Math.max(x + GAP, label.x - before + width)]
  })
  const heights = nodes.flatMap(({ y, label }) => [
    y - GAP,
    y + GAP,
    label.y - LINE,
    label.y + LINE / 2,
  ])
  const left = Math.min(...spans.map(([from]) => from)) - MARGIN
  const top = Math.min(...heights) - MARGIN
  const width = Math.max(...spans.map(([, to]) => to)) + MARGIN - left
  return [left, top, width, Math.max(...heights) + MARGIN - top].map(round) as [
    number,
    number,
    number,
    number,
  ]
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
  return { box: [0, 0, side, side], centre, nodes }
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

/** By way of the relay. */
export function through(a: Point, b: Point, relay: Point): Curve {
  // A quadratic Bézier curve that is at the relay half the way.
  const control = {
    x: round(2 * relay.x - (a.x + b.x) / 2),
    y: round(2 * relay.y - (a.y + b.y) / 2),
  }
  const middle = {
    x: round(0.5625 * a.x + 0.375 * control.x + 0.0625 * b.x),
    y: round(0.5625 * a.y + 0.375 * control.y + 0.0625 * b.y),
  }
  return { d: `M${at(a)}Q${at(control)} ${at(b)}`, middle }
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
