// What README and docs claim is tried here. Every fenced block has a rule by its language, and one without a rule fails;
// commands in the text are parsed; links lead somewhere; every problem code is explained.
//
//   js       is run, and prints the text block behind it
//   text     is what stands behind js, or of a page that a script makes (scripts/first-ten-minutes.mjs, in CI)
//   drawing  has straight borders, and names what there is
//   console  a command with output is run and prints that; one without is parsed
//   sh       is run in an empty directory, if it needs neither a kernel nor privileges; else it is parsed
//   ts       is type-checked as a scenario of the kernel laboratory
//   conf     keepalived's: its braces pair up, and its scripts are parsed
//   json     is JSON
//   ini      a systemd unit: sections and assignments, and its commands are parsed
import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync
} from 'node:fs'
import { networkInterfaces } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import ts from 'typescript'
import { CAPTURE_PROBLEMS } from '../src/capture/problems.js'
import { COMMANDS, runProgram } from '../src/cli/program.js'
import { run } from '../src/cli/run.js'
import { PROBLEMS } from '../src/wire/problems.js'
import { blocksOf, inlineCodeOf, type Block } from './fixtures/support/markdown.js'
import { commandsOf } from './fixtures/support/shell-words.js'
import { testIo } from './fixtures/support/test-io.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const namesIn = (folder: string, end: string): string[] =>
  readdirSync(join(root, folder)).filter((name) => name.endsWith(end))
const pages = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', ...namesIn('docs', '.md').map((name) => `docs/${name}`)]
const text = (page: string): string => readFileSync(join(root, page), 'utf8')
const scripts = (JSON.parse(text('package.json')) as { scripts: Record<string, string> }).scripts

/** Words that a page puts for the reader's own. */
const PLACEHOLDERS: Readonly<Record<string, string>> = {
  'ADDRESS[:PORT]': '10.9.0.2:8848',
  ADDRESS: '10.9.0.2',
  CIDR: '10.9.0.0/24',
  '[HOST:]PORT': '9848',
  'NAME=VALUE': 'sync_ports=1',
  N: '1'
}
/** Options in the text that are not ours. */
const OF_OTHERS =
  /^--(start-daemon|stop-daemon|set|seed|list|keep|quick|only|rounds|disallow-code-generation-from-strings)\b/

/** What the real option parser says against a command of ours: nothing, if it is good. */
async function faultOf(words: readonly string[]): Promise<string> {
  const io = testIo()
  const commands = COMMANDS.map((entry) => ({
    ...entry,
    load: async () => ({ configure: (await entry.load()).configure, execute: async () => 0 })
  }))
  try {
    const own = words.filter((word) => word !== '…').map((word) => PLACEHOLDERS[word] ?? word)
    return (await runProgram(own, io, '0', commands)) === 0 ? '' : io.errors()
  } catch (error) {
    return (error as Error).message
  }
}

/** Parses every command of ours, looks up every npm script, and reads the rest as bash does. */
async function checkScript(t: Test, script: string, where: string): Promise<void> {
  t.equal(spawnSync('bash', ['-n'], { input: script, encoding: 'utf8' }).stderr, '', `${where}: bash reads it`)
  for (const words of commandsOf(script)) {
    const ours = words.findIndex((word) => /(^|\/)ipvs-sync$/.test(word))
    if (ours >= 0 && words.slice(0, ours).every((word) => /^(.*\/)?(npx|env)$/.test(word)))
      t.equal(await faultOf(words.slice(ours + 1)), '', `${where}: ${words.join(' ')}`)
    if (words[0] === 'npm') checkNpm(t, words, where)
  }
}

function checkNpm(t: Test, [, verb = '', ...rest]: readonly string[], where: string): void {
  const name = verb === 'run' ? rest.find((word) => !word.startsWith('-'))! : verb
  const known = ['ci', 'cit', 'init', 'install', 'pack', 'exec', ...Object.keys(scripts)]
  t.ok(known.includes(name), `${where}: npm ${name} is there`)
  if (name !== 'test:kernel' || !rest.includes('--')) return
  const scenario = rest.at(rest.indexOf('--') + 1)!
  if (/^[a-z]/.test(scenario))
    t.ok(existsSync(join(root, `test/kernel/scenarios/${scenario}.ts`)), `${where}: ${scenario}`)
}

type Rule = (t: Test, block: Block, place: { readonly page: string; readonly behind?: Block }) => Promise<void> | void

const RULES: Readonly<Record<string, Rule>> = {
  js,
  text: output,
  drawing,
  console: session,
  sh,
  ts: scenario,
  conf,
  json,
  ini
}

for (const page of pages)
  t.test(`every block of ${page} holds`, async (t) => {
    const all = blocksOf(text(page))
    for (const [i, block] of all.entries()) {
      const rule = RULES[block.language]
      if (rule === undefined) t.fail(`${page}:${block.line}: no rule tries a block of language "${block.language}"`)
      else await rule(t, block, { page, ...(i > 0 && { behind: all[i - 1]! }) })
    }
  })

function js(t: Test, { body, line }: Block, { page }: { page: string }): void {
  const next = blocksOf(text(page)).find((block) => block.line > line)
  const folder = mkdtempSync(join(root, '.tap-docs-'))
  try {
    writeFileSync(join(folder, 'block.mjs'), body)
    const output = execFileSync(process.execPath, [join(folder, 'block.mjs')], { cwd: root, encoding: 'utf8' })
    t.equal(output, next?.language === 'text' ? next.body : '(no block of text behind it)', `${page}:${line}`)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function output(t: Test, { line }: Block, { page, behind }: { page: string; behind?: Block }): void {
  t.ok(behind?.language === 'js' || page === 'docs/first-ten-minutes.md', `${page}:${line}: something prints it`)
}

function drawing(t: Test, { body, line }: Block, { page }: { page: string }): void {
  const borders = body.split('\n').filter((row) => /^ *\+-/.test(row))
  t.strictSame([...new Set(borders.map((row) => row.trimEnd().length))].length <= 1, true, `${page}:${line}: straight`)
  if (page !== 'docs/architecture.md') return
  for (const folder of readdirSync(join(root, 'src'), { withFileTypes: true }).filter((entry) => entry.isDirectory()))
    t.match(body, new RegExp(`\\b${folder.name}\\b`), `${page}:${line}: shows src/${folder.name}`)
}

async function session(t: Test, { body, line }: Block, { page }: { page: string }): Promise<void> {
  for (const part of body.split(/^(?=\$ )/m)) {
    const [, command = '', shown = ''] = /^\$ (.*)\n([\s\S]*)$/.exec(part) ?? []
    const printed = shown.replace(/^#.*\n/gm, '')
    const where = `${page}:${line}: ${command}`
    if (command === '') t.match(part, /^(#.*\n)*$/, `${page}:${line}: only comments stand before the first command`)
    else await checkScript(t, command, where)
    if (printed === '') continue
    const io = testIo({ columns: 120 })
    const [words = []] = commandsOf(command)
    t.equal(words[0], 'ipvs-sync', where)
    await run(
      words.slice(1).map((word) => (word.startsWith('test/') ? join(root, word) : word)),
      io
    )
    t.equal(io.output(), printed, where)
  }
}

/** Needs what a test has not: privileges, a director's interface or kernel, a registry. */
const NOT_HERE = /\b(eth\d|ivs\d|ipvsadm|sync0|kernel|apt-get|npm|ip (link|addr)|sysctl -w|systemctl)\b/

async function sh(t: Test, { body, line }: Block, { page }: { page: string }): Promise<void> {
  const where = `${page}:${line}`
  await checkScript(t, body, where)
  if (NOT_HERE.test(body)) return
  const missing = whatIsMissing(body)
  if (missing !== undefined) {
    t.comment(`${where}: not run, there is no ${missing}`)
    return
  }
  const folder = t.testdir()
  writeFileSync(join(folder, 'ipvs-sync'), `#!/bin/sh\nexec '${process.execPath}' '${root}lib/cli/main.js' "$@"\n`)
  chmodSync(join(folder, 'ipvs-sync'), 0o755)
  copyFileSync(join(root, 'test/fixtures/captures/tcp4-nat/sync.pcap'), join(folder, 'sync.pcap'))
  const { status, stdout, stderr } = spawnSync('bash', ['-e', '-o', 'pipefail', '-c', ENDING + body], {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, PATH: `${folder}:${process.env['PATH']!}` },
    timeout: 60_000
  })
  t.equal(status, 0, `${where}: ${stdout}${stderr}`)
  t.not(stdout.trim(), '', `${where}: it shows something`)
}

/** Nothing that a block started outlives it. */
const ENDING = "trap 'kill $(jobs -p) 2> /dev/null || true' EXIT\n"

function whatIsMissing(script: string): string | undefined {
  if (/\blo\b/.test(script) && networkInterfaces()['lo'] === undefined) return 'interface lo'
  return /\bcurl\b/.test(script) && spawnSync('curl', ['--version']).status !== 0 ? 'curl' : undefined
}

function scenario(t: Test, { body, line }: Block, { page }: { page: string }): void {
  const file = join(root, 'test/kernel/scenarios/of-the-docs.ts')
  const config: unknown = ts.readConfigFile(join(root, 'tsconfig.json'), (path) => ts.sys.readFile(path)).config
  const { options } = ts.parseJsonConfigFileContent({ ...(config as object), files: [], include: [] }, ts.sys, root)
  const host = ts.createCompilerHost(options)
  const program = ts.createProgram([file], options, {
    ...host,
    fileExists: (path) => path === file || host.fileExists(path),
    readFile: (path) => (path === file ? body : host.readFile(path)),
    getSourceFile: (path, ...rest) =>
      path === file ? ts.createSourceFile(path, body, rest[0]) : host.getSourceFile(path, ...rest)
  })
  const source = program.getSourceFile(file)
  const faults = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)]
  t.strictSame(
    faults.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n')),
    [],
    `${page}:${line}`
  )
}

async function conf(t: Test, { body, line }: Block, { page }: { page: string }): Promise<void> {
  let depth = 0
  for (const brace of body.match(/[{}]/g) ?? []) t.ok((depth += brace === '{' ? 1 : -1) >= 0, `${page}:${line}: braces`)
  t.equal(depth, 0, `${page}:${line}: every brace is closed`)
  for (const [, script = ''] of body.matchAll(/^\s*script "(.*)"$/gm)) await checkScript(t, script, `${page}:${line}`)
}

function json(t: Test, { body, line }: Block, { page }: { page: string }): void {
  t.doesNotThrow(() => JSON.parse(body) as unknown, `${page}:${line}`)
}

async function ini(t: Test, { body, line }: Block, { page }: { page: string }): Promise<void> {
  const where = `${page}:${line}`
  for (const row of body.replace(/\\\n/g, ' ').split('\n')) {
    t.match(row, /^($|[#;]|\[\w+\]$|\w+=)/, `${where}: ${row}`)
    const [, command] = /^Exec\w+=-?(.*)$/.exec(row) ?? []
    if (command !== undefined) await checkScript(t, command, where)
  }
}

t.test('the systemd units run commands that there are', async (t) => {
  for (const name of namesIn('examples/systemd', '.service')) {
    const page = `examples/systemd/${name}`
    await ini(t, { language: 'ini', body: text(page), line: 1 }, { page })
  }
})

t.test('commands and options in the text are such that the command takes', async (t) => {
  const manual = text('man/ipvs-sync.1').replaceAll('\\-', '-')
  for (const page of pages)
    for (const code of inlineCodeOf(text(page))) {
      if (/(^|\| |npx )ipvs-sync /.test(code)) await checkScript(t, code.replaceAll(' …', ''), page)
      const option = /^--[a-z][a-z-]*/.exec(code)?.[0]
      if (option === undefined || OF_OTHERS.test(code)) continue
      t.ok(manual.includes(`.B ${option}`) || ['--help', '--version'].includes(option), `${page}: ${option}`)
    }
})

t.test('files named in the text are there', async (t) => {
  const folders = ['bench', 'docs', 'examples', 'man', 'scripts', 'src', 'test']
  const files = folders.flatMap((folder) => {
    const below = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    return below.map((name) => `${folder}/${name}`)
  })
  for (const page of pages)
    for (const code of inlineCodeOf(text(page))) {
      const path = /^(?:bench|docs|examples|man|scripts|src|test)(?:\/[\w.*-]+)+$|^[\w*-]+\.(?:ts|mjs|c)$/.exec(
        code
      )?.[0]
      if (path === undefined) continue
      const pattern = new RegExp(`(^|/)${path.replaceAll('.', '\\.').replaceAll('*', '[^/]*')}$`)
      t.ok(
        files.some((name) => pattern.test(name)),
        `${page}: ${path}`
      )
    }
})

t.test('the page about conformance has a row for each scenario, and no other', async (t) => {
  const [scenarios = '', runs = ''] = text('docs/conformance.md').split('\n## Compared kernels\n')
  const rows = scenarios.match(/^\| `.*?\|/gm) ?? []
  const named = rows.flatMap((row) => [...row.matchAll(/`([a-z-]+)`/g)].map(([, name = '']) => `${name}.ts`))
  const all = namesIn('test/kernel/scenarios', '.ts').sort()
  t.strictSame(named.sort(), all)
  const ran = [...runs.matchAll(/^\| `([a-z-]+)` /gm)].map(([, name]) => `${name}.ts`)
  t.strictSame(
    ran.filter((name) => !all.includes(name)),
    []
  )
})

t.test('what reads commands and blocks here sees what is wrong', async (t) => {
  t.strictSame(commandsOf('a \'b c\' |d > e # f\nX=1 g \\\n  h\\ i 2>&1 && j "k;l" < m'), [
    ['a', 'b c'],
    ['d'],
    ['X=1', 'g', 'h i'],
    ['j', 'k;l']
  ])
  t.match(await faultOf(['decode', '--fromat', 'json', 'x']), /unknown option '--fromat'/)
  t.match(await faultOf(['backup', '--syncid', '256']), /--syncid: expected an integer 0…255, got "256"/)
  t.match(await faultOf(['bakcup']), /unknown command/)
  t.equal(await faultOf(['backup', '--peer', 'ADDRESS[:PORT]', '…']), '')
  t.strictSame(blocksOf('a\n```x\nb\n```\n\n```\n```\n'), [
    { language: 'x', body: 'b\n', line: 2 },
    { language: '', body: '', line: 6 }
  ])
  t.strictSame(inlineCodeOf('`a \\| b` c `d`\n```x\n`e`\n```\n'), ['a | b', 'd'])
})

t.test('links lead to files that are there', async (t) => {
  for (const page of pages)
    for (const [, target = ''] of text(page).matchAll(/\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)/g))
      t.ok(existsSync(join(root, dirname(page), target)), `${page} -> ${target}`)
})

t.test('every problem code is explained, with its severity', async (t) => {
  const page = text('docs/captures.md')
  const codes = Object.entries({
    ...Object.fromEntries(Object.entries(PROBLEMS).map(([code, { severity }]) => [code, severity])),
    ...CAPTURE_PROBLEMS
  })
  for (const [code, severity] of codes)
    t.match(page, new RegExp(`^\\| \`${code}\` +\\| ${severity} +\\| \\S`, 'm'), `${code} is explained`)
})

t.test('README names what a stranger needs first, and every command', async (t) => {
  const readme = text('README.md')
  for (const words of ['npm cit', 'npm ci && npm start']) t.match(readme.slice(0, 900), words)
  for (const { name } of COMMANDS) t.match(readme, `\`${name}`)
})

t.test('the cookbook answers twenty questions, each with a command and its output', async (t) => {
  const questions = text('docs/cookbook.md').split(/^## /m).slice(1)
  t.equal(questions.length, 20)
  for (const question of questions)
    t.match(question, /^.*\?\n\n```console\n\$ ipvs-sync .*\n[^$\n]/, question.slice(0, 60))
})
