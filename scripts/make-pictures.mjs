// Makes the pictures of the README and the docs from real output, so that they cannot lie: runs the compiled commands with a
// terminal of our own and draws what they wrote; Chromium takes those of the live page and of the report.
//   node scripts/make-pictures.mjs [NAME ...]     writes docs/NAME.svg or .png; all by default
import { Buffer } from 'node:buffer'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { run } from '../lib/cli/run.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const ESCAPE = '\u001b'
const CLEARING = new RegExp(`${ESCAPE}\\[(?:[KJ]|\\?\\d+[hl])`, 'g')
const STYLING = new RegExp(`(${ESCAPE}\\[[\\d;]*m)`)
const LINE = 17
const CHARACTER = 8.4
const COLORS = { 2: '#8b949e', 31: '#ff7b72', 32: '#7ee787', 33: '#e3b341', 34: '#79c0ff', 36: '#76e3ea' }
const CHROMIUM = '/usr/bin/chromium'
const QUIET =
  '--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync'
const LINK = ['--mcast-interface', 'lo', '--syncid', '5']

process.chdir(root)
const names = process.argv.slice(2)
const isWanted = (name) => names.length === 0 || names.includes(name)
if (isWanted('demo')) {
  const text = await output(['demo', '--seconds', '15'], { rows: 30 })
  writeFileSync('docs/demo.svg', draw('npm start', text.split('\u001b[H').at(-1)))
}
if (isWanted('decode')) {
  const lines = (
    await output(['decode', '--format', 'table', 'test/fixtures/captures/persist/sync.pcap'], { rows: 30 })
  ).split('\n')
  writeFileSync(
    'docs/decode.svg',
    draw('ipvs-sync decode sync.pcap', [...lines.slice(0, 12), '…', ...lines.slice(-9)].join('\n'))
  )
}
if (isWanted('report')) await photographReport()
if (['doctor', 'watch', 'page'].some(isWanted)) await drawLive()
process.exit(0)

/** Pictures of a live pair on the loopback interface: a backup, and a master of made-up connections. */
async function drawLive() {
  const end = new AbortController()
  const options = { signal: end.signal }
  const pair = [
    output(['backup', ...LINK, '--http', '19848'], options),
    output(['master', '--source', 'demo', ...LINK, '--rate', '60'], options)
  ]
  await setTimeout(3000)
  if (isWanted('doctor')) {
    const checklist = await output(['doctor', ...LINK, '--seconds', '5'], { columns: 110 })
    writeFileSync('docs/doctor.svg', draw('ipvs-sync doctor --mcast-interface lo --syncid 5', checklist))
  }
  if (isWanted('watch')) {
    const frames = await output(['watch', ...LINK, '--seconds', '25'], { columns: 80, rows: 24 })
    writeFileSync(
      'docs/watch.svg',
      draw('ipvs-sync watch --mcast-interface lo --syncid 5', frames.split('\u001b[H').at(-1).replaceAll('\r', ''))
    )
  }
  if (isWanted('page')) {
    const pictures = [
      ['page', 1000, 800, 'light'],
      ['page-phone', 390, 844, 'dark']
    ]
    // The page needs some samples for its plots; there is one every five seconds.
    await photograph('http://127.0.0.1:19848/', pictures, 30_000)
  }
  end.abort()
  await Promise.all(pair)
}

/** The report of kernel captures that were taken one after the other; the last one is cut off. */
async function photographReport() {
  const folder = mkdtempSync(join(tmpdir(), 'report-'))
  const captures = ['tcp4-nat', 'tcp-udp6', 'udp4', 'sip', 'persist', 'sctp'].map((name) =>
    readFileSync(`test/fixtures/captures/${name}/sync.pcap`)
  )
  // Files joined by cat are one capture.
  writeFileSync(join(folder, 'sync.pcap'), Buffer.concat(captures).subarray(0, -40))
  const html = await output(['decode', '--format', 'html', join(folder, 'sync.pcap')], { codes: [0, 1] })
  writeFileSync(join(folder, 'report.html'), html.replaceAll(`${folder}/`, ''))
  await photograph(
    `file://${folder}/report.html`,
    [
      ['report', 1100, 1900, 'light'],
      ['report-dark', 1100, 800, 'dark'],
      ['report-phone', 390, 844, 'dark']
    ],
    0
  )
  rmSync(folder, { recursive: true })
}

/** Takes pictures of a page, each `[name, width, height, scheme]`, after a number of milliseconds. */
async function photograph(url, pictures, delay) {
  if (!existsSync(CHROMIUM)) {
    console.log(`skipped docs/${pictures[0][0]}.png: apt-get install chromium`)
    return
  }
  const { chromium } = await import('playwright-core')
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: QUIET.split(' ') })
  await setTimeout(delay)
  for (const [name, width, height, colorScheme] of pictures) {
    const context = await browser.newContext({ viewport: { width, height }, colorScheme })
    const page = await context.newPage()
    await page.goto(url)
    await page.waitForSelector('.u-over')
    await setTimeout(500)
    await page.screenshot({ path: `docs/${name}.png` })
    await context.close()
  }
  await browser.close()
}

/** Runs a command on a terminal, and returns what it wrote to standard output. */
async function output(argv, { columns = 116, rows = 60, signal = new AbortController().signal, codes = [0] }) {
  let text = ''
  const terminal = (keep) => {
    const stream = Object.assign(new PassThrough(), { isTTY: true, columns, rows })
    stream.on('data', (chunk) => keep && (text += chunk))
    return stream
  }
  const code = await run(argv, {
    stdin: Object.assign(new PassThrough(), { isTTY: true }),
    stdout: terminal(true),
    stderr: terminal(false),
    env: {},
    signal,
    onReload: () => () => undefined
  })
  if (!codes.includes(code)) throw new Error(`${argv.join(' ')}: exit code ${code}`)
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
