// What README and docs claim is run here: JavaScript blocks print the text block that follows them, console blocks are what
// the command prints, links lead somewhere, and every problem code is explained.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { COMMANDS } from '../src/cli/commands.js'
import { CAPTURE_PROBLEMS } from '../src/capture/problems.js'
import { PROBLEMS } from '../src/wire/problems.js'
import { run } from '../src/cli/run.js'
import { testIo } from './fixtures/support/test-io.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const pages = [
  'README.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`)
]
const text = (page: string): string => readFileSync(join(root, page), 'utf8')

interface Block {
  readonly language: string
  readonly body: string
}

function blocks(page: string): Block[] {
  return [...text(page).matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(([, language = '', body = '']) => ({
    language,
    body
  }))
}

t.test('every JavaScript block runs, and prints the text block behind it', async (t) => {
  let seen = 0
  for (const page of pages) {
    const all = blocks(page)
    for (const [i, { language, body }] of all.entries()) {
      if (language !== 'js') continue
      seen++
      const folder = mkdtempSync(join(root, '.tap-docs-'))
      try {
        writeFileSync(join(folder, 'block.mjs'), body)
        const output = execFileSync(process.execPath, [join(folder, 'block.mjs')], { cwd: root, encoding: 'utf8' })
        const expected = all[i + 1]
        t.equal(expected?.language, 'text', `${page}: what the block prints stands behind it`)
        t.equal(output, expected?.body, page)
      } finally {
        rmSync(folder, { recursive: true, force: true })
      }
    }
  }
  t.ok(seen >= 2, `${seen} blocks`)
})

t.test('a console block shows what the command prints', async (t) => {
  let seen = 0
  for (const page of pages) {
    for (const { language, body } of blocks(page)) {
      if (language !== 'console') continue
      const [line = '', ...output] = body.split('\n')
      const words = /^\$ ipvs-sync (.*)$/.exec(line)?.[1]?.split(' ')
      if (words === undefined) continue
      seen++
      const io = testIo({ columns: 120 })
      await run(
        words.map((word) => (word.startsWith('test/') ? join(root, word) : word)),
        io
      )
      t.equal(io.output(), output.join('\n'), `${page}: ${line}`)
    }
  }
  t.ok(seen >= 1, `${seen} blocks`)
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
  for (const words of ['npm cit', 'npm ci && npm start']) t.match(readme.slice(0, 700), words)
  for (const { name } of COMMANDS) t.match(readme, `\`${name}`)
})
