/** node .build/bench/scale.js [SIZE…]: how cost grows with the table; prints a table and draws docs/scale.svg. */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { plot, type Scale } from './plot.js'

const given = process.argv.slice(2).map(Number)
const sizes = given.length > 0 ? given : [10_000, 100_000, 1_000_000, 10_000_000]
const program = fileURLToPath(new URL('measures/scale.js', import.meta.url))
const scales = sizes.map((size) => {
  const output = execFileSync(process.execPath, [program, 'all', '0', String(size)], { encoding: 'utf8' })
  return JSON.parse(output) as Scale
})
console.log('| connections | bytes each | build ns | update ns | visit ns | expire ns | longest tick ms |')
console.log('| ---: | ---: | ---: | ---: | ---: | ---: | ---: |')
for (const { connections, bytes, build, update, visit, expire, longestTick } of scales)
  console.log(
    `| ${connections.toLocaleString('en')} | ${bytes} | ${build} | ${update} | ${visit} | ${expire} | ${longestTick} |`
  )
writeFileSync(fileURLToPath(new URL('../../docs/scale.svg', import.meta.url)), plot(scales))
