/** Plots as SVG: cumulative shares over time, one line a series. */
export interface Series {
  readonly label: string
  /** Samples on the horizontal axis. */
  readonly samples: readonly number[]
}

const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT] = [940, 440, 60, 50, 40, 310]
const COLOURS = [
  '#1b6ca8',
  '#c8553d',
  '#3f8f4f',
  '#8e5ea2',
  '#b8860b',
  '#4a4a4a',
  '#d0679d',
  '#2aa198',
  '#6b8e23',
  '#00008b',
]

/** The share of samples that came within x milliseconds. */
export function cumulativePlot(title: string, unit: string, series: readonly Series[]): string {
  const most = niceAbove(Math.max(1, ...series.flatMap(({ samples }) => samples)))
  const x = (value: number): number => LEFT + (value / most) * (WIDTH - LEFT - RIGHT)
  const y = (share: number): number => HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)
  const ticks = [0, 0.25, 0.5, 0.75, 1]
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    `<text x="${LEFT}" y="22" font-size="15" font-weight="bold">${escaped(title)}</text>`,
    ...ticks.map((tick) => gridLine(x(0), x(most), y(tick), `${tick * 100} %`)),
    ...ticks.map((tick) =>
      label(x(tick * most), HEIGHT - BOTTOM + 18, `${Math.round(tick * most)}`),
    ),
    label((x(0) + x(most)) / 2, HEIGHT - 12, unit),
    ...series.map((each, index) => line(each, index, x, y)),
    '</svg>',
  ]
  return `${parts.join('\n')}\n`
}

function line(
  series: Series,
  index: number,
  x: (v: number) => number,
  y: (s: number) => number,
): string {
  const sorted = series.samples.toSorted((a, b) => a - b)
  const step = Math.max(1, Math.floor(sorted.length / 400))
  const points = sorted
    .map((value, place) => [value, (place + 1) / sorted.length] as const)
    .filter((_, place) => place % step === 0 || place === sorted.length - 1)
    .map(([value, share]) => `${x(value).toFixed(1)},${y(share).toFixed(1)}`)
  const colour = COLOURS[index % COLOURS.length] ?? '#000000'
  const legend = TOP + 12 + index * 20
  return [
    `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${points.join(' ')}"/>`,
    `<rect x="${WIDTH - RIGHT + 16}" y="${legend - 9}" width="12" height="12" fill="${colour}"/>`,
    `<text x="${WIDTH - RIGHT + 34}" y="${legend + 2}">${escaped(series.label)}</text>`,
  ].join('\n')
}

function gridLine(from: number, to: number, at: number, text: string): string {
  return `<line x1="${from}" y1="${at}" x2="${to}" y2="${at}" stroke="#dddddd"/><text x="${from - 8}" y="${at + 4}" text-anchor="end">${text}</text>`
}

function label(x: number, y: number, text: string): string {
  return `<text x="${x}" y="${y}" text-anchor="middle">${escaped(text)}</text>`
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}

function niceAbove(value: number): number {
  const unit = 10 ** Math.floor(Math.log10(value))
  return (([1, 2, 2.5, 5, 10] as const).find((factor) => factor * unit >= value) ?? 10) * unit
}
