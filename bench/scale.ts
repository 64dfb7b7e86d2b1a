/** How cost grows with the table: a section of the results, and docs/scale.svg. */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { plot, type Scale } from './plot.js'

/** Its title, by which `--only` finds it. */
export const SCALE_TITLE = 'Scale: one table of 10,000 to 10,000,000 connections'

/** Runs each size once, draws the picture, and gives the section. */
export function scale(sizes: readonly number[] = [10_000, 100_000, 1_000_000, 10_000_000]): string {
  const program = fileURLToPath(new URL('measures/scale.js', import.meta.url))
  const scales = sizes.map((size) => {
    const output = execFileSync(process.execPath, [program, 'all', '0', String(size)], { encoding: 'utf8' })
    return JSON.parse(output) as Scale
  })
  writeFileSync(fileURLToPath(new URL('../../docs/scale.svg', import.meta.url)), plot(scales))
  return [
    '',
    `### ${SCALE_TITLE}`,
    '',
    'Processor time in nanoseconds a connection, each size once; memory is what the process grew by. `messages` makes full',
    "messages of the whole table, `snapshot` the JSON Lines of an agent's file.",
    '',
    '| connections | bytes each | build | update | visit | messages | snapshot | expire | longest tick, ms |',
    '| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |',
    ...scales.map(rowOf)
  ].join('\n')
}

function rowOf({ connections, bytes, build, update, visit, messages, snapshot, expire, longestTick }: Scale): string {
  const costs = [connections, bytes, build, update, visit, messages, snapshot, expire].map((n) =>
    n.toLocaleString('en')
  )
  return `| ${[...costs, longestTick].join(' | ')} |`
}
