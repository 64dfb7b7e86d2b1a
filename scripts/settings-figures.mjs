// Writes the figures of docs/settings.md: `ipvs-sync simulate` over the ready workloads. Run after `npm run build`.
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const VARIANTS = [
  'sync_threshold=1 10',
  'sync_threshold=0 0 sync_refresh_period=10',
  'sync_threshold=3 50 sync_refresh_period=10 sync_retries=2'
]
const ROWS = ['announced', 'records', 'bytes a second', 'lost by a failover']

const tables = ['web', 'dns', 'long-lived'].map((workload) => {
  const compare = VARIANTS.flatMap((settings) => ['--compare', settings])
  const words = [`${root}lib/cli/main.js`, 'simulate', '--workload', workload, ...compare]
  const lines = execFileSync(process.execPath, words, { encoding: 'utf8' }).split('\n')
  const cells = ROWS.map((name) => {
    const line = lines.find((each) => each.startsWith(`${name}  `))
    return [name, ...line.slice(name.length).trim().split(/ {2,}/)]
  })
  const settings = ['sync_threshold=3 50 (default)', ...VARIANTS]
  const body = settings.map((name, at) => `| \`${name}\` | ${cells.map((row) => row[at + 1]).join(' | ')} |`)
  return [
    `### \`${workload}\``,
    '',
    `| settings | ${ROWS.join(' | ')} |`,
    `| --- |${' --- |'.repeat(ROWS.length)}`,
    ...body
  ].join('\n')
})
const file = `${root}docs/settings.md`
const [before, rest] = readFileSync(file, 'utf8').split('<!-- figures -->')
const after = rest.split('<!-- end of figures -->')[1]
writeFileSync(file, `${before}<!-- figures -->\n\n${tables.join('\n\n')}\n\n<!-- end of figures -->${after}`)
