/** How cost grows with the table: a chart with logarithmic axes, drawn as SVG without a library. */

/** What bench/measures/scale.ts prints of one size, and `look` of bench/measures/kernel-table.ts. */
export interface Scale {
  readonly connections: number
  /** Bytes of resident memory a connection. */
  readonly bytes: number
  /** Nanoseconds a connection. */
  readonly build: number
  /** One later read of a saved kernel table of that size. */
  readonly look: number
  readonly update: number
  readonly visit: number
  readonly messages: number
  readonly store: number
  readonly expire: number
  /** Milliseconds. */
  readonly longestTick: number
}

const SERIES = [
  ['look', '#c2185b'],
  ['build', '#b35900'],
  ['update', '#0057a8'],
  ['expire', '#7a1fa2'],
  ['messages', '#00796b'],
  ['visit', '#2e7d32'],
  ['store', '#8d6e63']
] as const
const [WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM] = [640, 360, 60, 30, 90, 50]
const DECADES = [10, 100, 1000, 10_000]

/** The chart of all sizes. */
export function plot(scales: readonly Scale[]): string {
  const sizes = scales.map(({ connections }) => connections)
  const [from, to] = [Math.log10(Math.min(...sizes)), Math.log10(Math.max(...sizes))]
  const x = (connections: number): number =>
    LEFT + ((Math.log10(connections) - from) / (to - from)) * (WIDTH - LEFT - RIGHT)
  const y = (ns: number): number => HEIGHT - BOTTOM - ((Math.log10(ns) - 1) / 3) * (HEIGHT - TOP - BOTTOM)
  const lines = SERIES.map(([name, colour]) => {
    const points = scales.map((scale) => `${x(scale.connections).toFixed(1)},${y(scale[name]).toFixed(1)}`)
    const end = y(scales.at(-1)![name]).toFixed(1)
    return (
      `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${points.join(' ')}"/>` +
      `<text x="${WIDTH - RIGHT + 6}" y="${end}" fill="${colour}">${name}</text>`
    )
  })
  const grid = DECADES.map(
    (ns) =>
      `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(ns)}" y2="${y(ns)}" stroke="#ccc"/>` +
      `<text x="${LEFT - 6}" y="${y(ns) + 4}" text-anchor="end">${ns.toLocaleString('en')}</text>`
  )
  const ticks = sizes.map(
    (size) =>
      `<text x="${x(size)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${size.toLocaleString('en')}</text>`
  )
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    ...grid,
    ...ticks,
    ...lines,
    `<text x="${LEFT}" y="18">Nanoseconds of processor time a connection, by connections in the table</text>`,
    '</svg>',
    ''
  ].join('\n')
}
