// The house rules that no single file can hold: imports go down the ranks and form no cycle, pure folders stay pure,
// no file outgrows one head. eslint.config.js holds the first two as well; this reads the import lines themselves.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const root = fileURLToPath(new URL('..', import.meta.url))
const src = join(root, 'src')

/** Rank of each place in src, low to high; a file imports its own folder or a lower rank. */
const RANKS: Readonly<Record<string, number>> = {
  '.': 0,
  wire: 1,
  sysctl: 2,
  table: 2,
  capture: 2,
  engine: 3,
  files: 3,
  'agent/protocol': 4,
  director: 4,
  transport: 4,
  procfs: 4,
  trust: 4.5,
  daemon: 5,
  agent: 6,
  relay: 6,
  cli: 7
}
const PURE = new Set(['.', 'wire', 'sysctl', 'table', 'capture', 'engine', 'agent/protocol', 'director'])
const IMPURE =
  /\b(?:Buffer\.|process\.|console\.|performance\.|setTimeout\(|setInterval\(|setImmediate\(|Date\.now\(|Math\.random\()/

const files = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .sort()
const sources = new Map(files.map((name) => [name, readFileSync(join(src, name), 'utf8')]))

/** The public face may look anywhere; everything else has the rank of its folder. */
function rankOf(file: string): number {
  if (file === 'index.ts') return Infinity
  return RANKS[folderOf(file)] ?? NaN
}

function folderOf(file: string): string {
  if (file.startsWith(join('agent', 'protocol'))) return 'agent/protocol'
  return file.includes(sep) ? file.slice(0, file.indexOf(sep)) : '.'
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1')
}

function importsOf(file: string): { specifier: string; typeOnly: boolean }[] {
  const text = withoutComments(sources.get(file) ?? '')
  const pattern =
    /(?:^|\n)\s*(?:import|export)\s+(type\s)?[^'"`;]*?from\s*['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)/g
  return [...text.matchAll(pattern)].map((match) => ({
    specifier: match[2] ?? match[3] ?? '',
    typeOnly: match[1] !== undefined
  }))
}

function targetOf(file: string, specifier: string): string {
  return normalize(join(dirname(file), specifier)).replace(/\.js$/, '.ts')
}

t.test('every folder of src has a rank', async (t) => {
  t.strictSame(
    [...new Set(files.map(folderOf))].filter((folder) => !(folder in RANKS)),
    []
  )
})

t.test('imports go to the own folder or a lower rank, and name files that are there', async (t) => {
  const wrong: string[] = []
  for (const file of files) {
    for (const { specifier } of importsOf(file)) {
      if (!specifier.startsWith('.')) continue
      const target = targetOf(file, specifier)
      const sameFolder = folderOf(target) === folderOf(file)
      if (!sources.has(target)) wrong.push(`${file}: ${specifier} is not a file of src`)
      else if (!sameFolder && rankOf(target) >= rankOf(file)) wrong.push(`${file} -> ${target}`)
    }
  }
  t.strictSame(wrong, [])
})

t.test('imports form no cycle', async (t) => {
  const done = new Set<string>()
  const cycles: string[] = []
  const visit = (file: string, trail: readonly string[]): void => {
    if (trail.includes(file)) {
      cycles.push([...trail.slice(trail.indexOf(file)), file].join(' -> '))
      return
    }
    if (done.has(file)) return
    for (const { specifier, typeOnly } of importsOf(file)) {
      if (specifier.startsWith('.') && !typeOnly) visit(targetOf(file, specifier), [...trail, file])
    }
    done.add(file)
  }
  for (const file of files) visit(file, [])
  t.strictSame(cycles, [])
})

t.test('pure folders do no I/O, read no clock and roll no dice', async (t) => {
  const wrong: string[] = []
  for (const file of files.filter((name) => PURE.has(folderOf(name)) && name !== 'index.ts')) {
    for (const { specifier } of importsOf(file)) if (specifier.startsWith('node:')) wrong.push(`${file}: ${specifier}`)
    const found = IMPURE.exec(withoutComments(sources.get(file) ?? ''))
    if (found) wrong.push(`${file}: ${found[0]}`)
  }
  t.strictSame(wrong, [])
})

t.test('no file of src has more than 500 lines, blank ones aside', async (t) => {
  const long = [...sources].map(([file, text]) => ({
    file,
    lines: text.split('\n').filter((line) => line.trim()).length
  }))
  t.strictSame(
    long.filter(({ lines }) => lines > 500),
    []
  )
})

t.test('importing the public face loads neither HTTP nor the metrics library nor the command', async (t) => {
  const reached = new Set<string>()
  const outside = new Set<string>()
  const visit = (file: string): void => {
    if (reached.has(file)) return
    reached.add(file)
    for (const { specifier, typeOnly } of importsOf(file)) {
      if (typeOnly) continue
      if (specifier.startsWith('.')) visit(targetOf(file, specifier))
      else outside.add(specifier)
    }
  }
  visit('index.ts')
  t.strictSame(
    [...outside].filter((name) => ['node:http', 'prom-client', 'commander'].includes(name)),
    []
  )
  t.strictSame(
    [...reached].filter((file) => folderOf(file) === 'cli'),
    []
  )
})

t.test('the package exports what design and README promise, and nothing of it is missing', async (t) => {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { exports: Record<string, unknown> }
  t.strictSame(Object.keys(manifest.exports), [
    '.',
    './wire',
    './engine',
    './capture',
    './director',
    './agent',
    './relay',
    './trust',
    './package.json'
  ])
  for (const entry of ['.', 'wire', 'engine', 'capture', 'director', 'agent', 'relay', 'trust'])
    t.ok(sources.has(relative('.', join(entry, 'index.ts'))), `${entry} has an index.ts`)
})

t.test('the lockfile and the tree name no registry and no machine', async (t) => {
  const lock = readFileSync(join(root, 'package-lock.json'), 'utf8')
  t.notMatch(lock, /"resolved": "http/)
})
