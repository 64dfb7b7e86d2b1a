/** How cost grows with the table: a section of the results, and docs/scale.svg. */
import { execFileSync } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { writeKernelTable } from './kernel-table-file.js'
import { plot, type Scale } from './plot.js'

/** Its title, by which `--only` finds it. */
export const SCALE_TITLE = 'Scale: one table of 10,000 to 10,000,000 connections'

/** Runs each size once, draws the picture, and gives the section. */
export function scale(sizes: readonly number[] = [10_000, 100_000, 1_000_000, 10_000_000]): string {
  const program = fileURLToPath(new URL('measures/scale.js', import.meta.url))
  const looks = fileURLToPath(new URL('measures/kernel-table.js', import.meta.url))
  const scales = sizes.map((size) => {
    const output = execFileSync(process.execPath, [program, 'all', '0', String(size)], { encoding: 'utf8' })
    const table = writeKernelTable(size)
    const later = execFileSync(process.execPath, [looks, 'later', table, String(size)], { encoding: 'utf8' })
    rmSync(table)
    return { ...(JSON.parse(output) as Scale), look: Math.round((Number(later) * 1e6) / size) }
  })
  writeFileSync(fileURLToPath(new URL('../../docs/scale.svg', import.meta.url)), plot(scales))
  return [
    '',
    `### ${SCALE_TITLE}`,
    '',
    'Processor time in nanoseconds a connection, each size once; memory is what the process grew by. `messages` makes full',
    "messages of the whole table, `store` packs it for an agent's store, `look` reads a saved kernel table of as many lines again.",
    '',
    '| connections | bytes each | build | update | visit | messages | store | look | expire | longest tick, ms |',
    '| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |',
    ...scales.map(rowOf)
  ].join('\n')
}

function rowOf({
  connections,
  bytes,
  build,
  update,
  visit,
  messages,
  store,
  look,
  expire,
  longestTick
}: Scale): string {
  const costs = [connections, bytes, build, update, visit, messages, store, look, expire].map((n) =>
    n.toLocaleString('en')
  )
  return `| ${[...costs, longestTick].join(' | ')} |`
}
