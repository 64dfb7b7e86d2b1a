// Makes the pictures of the README from real output, so that they cannot lie: runs the compiled commands with a terminal
// of our own and draws what they wrote.
//   node scripts/make-pictures.mjs        writes docs/demo.svg and docs/decode.svg
import { writeFileSync } from 'node:fs'
import { PassThrough } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { run } from '../lib/cli/run.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const ESCAPE = '\u001b'
const CLEARING = new RegExp(`${ESCAPE}\\[[KJ]`, 'g')
const STYLING = new RegExp(`(${ESCAPE}\\[[\\d;]*m)`)
const COLUMNS = 116
const LINE = 17
const CHARACTER = 8.4
const COLORS = { 2: '#8b949e', 31: '#ff7b72', 32: '#7ee787', 33: '#e3b341', 34: '#79c0ff', 36: '#76e3ea' }

process.chdir(root)
const demo = await output(['demo', '--seconds', '15'], 30)
writeFileSync('docs/demo.svg', draw('npm start', demo.split('\u001b[H').at(-1)))
const decode = await output(['decode', '--format', 'table', 'test/fixtures/captures/persist/sync.pcap'], 30)
writeFileSync(
  'docs/decode.svg',
  draw(
    'ipvs-sync decode sync.pcap',
    [...decode.split('\n').slice(0, 12), '…', ...decode.split('\n').slice(-9)].join('\n')
  )
)
process.exit(0)

async function output(argv, rows) {
  let text = ''
  const terminal = (keep) => {
    const stream = Object.assign(new PassThrough(), { isTTY: true, columns: COLUMNS, rows })
    stream.on('data', (chunk) => keep && (text += chunk))
    return stream
  }
  const code = await run(argv, {
    stdin: Object.assign(new PassThrough(), { isTTY: true }),
    stdout: terminal(true),
    stderr: terminal(false),
    env: {},
    signal: new AbortController().signal,
    onReload: () => () => undefined
  })
  if (code !== 0) throw new Error(`${argv.join(' ')}: exit code ${code}`)
  return text
}

/** A terminal window as SVG: one text element a line, one tspan a colour. */
function draw(title, text) {
  const lines = text.replace(CLEARING, '').trimEnd().split('\n')
  const longest = Math.max(...lines.map((line) => line.replace(STYLING, '').length))
  const width = Math.ceil(longest * CHARACTER + 32)
  const height = lines.length * LINE + 60
  const body = lines.map((line, i) => `<text x="16" y="${52 + i * LINE}" xml:space="preserve">${spans(line)}</text>`)
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escape(title)}">
<rect width="100%" height="100%" rx="8" fill="#0d1117"/>
<g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14" fill="#e6edf3">
<text x="16" y="26" fill="#8b949e">$ ${escape(title)}</text>
${body.join('\n')}
</g>
</svg>
`
}

function spans(line) {
  let style = ''
  return line
    .split(STYLING)
    .map((part) => {
      const code = STYLING.test(part) ? part.slice(2, -1) : undefined
      if (code === undefined) return part === '' ? '' : `<tspan${style}>${escape(part)}</tspan>`
      const color = code
        .split(';')
        .map((number) => COLORS[number])
        .find((found) => found !== undefined)
      style = color === undefined ? (code === '1' ? ' font-weight="bold"' : '') : ` fill="${color}"`
      return ''
    })
    .join('')
}

function escape(text) {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;')
}
