// Compiles one half of the tree with tsc:
//   node scripts/build.mjs lib     src -> lib, what the package ships (run by `npm ci` through `prepare`)
//   node scripts/build.mjs tools   bench, examples, the kernel laboratory and the fuzzer -> .build; they import the package by its name
// The new output takes the old one's place only when all of it is there, so that what runs meanwhile is not pulled away.
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc')
const projects = {
  // Comments are for the declarations, which editors show, and for src, to which the source maps lead: the code goes without.
  lib: {
    config: 'tsconfig.build.json',
    output: 'lib',
    passes: [
      ['--declaration', 'false', '--removeComments'],
      ['--emitDeclarationOnly', '--sourceMap', 'false']
    ]
  },
  tools: { config: 'tsconfig.tools.json', output: '.build', passes: [[]] }
}
const half = process.argv[2]
if (projects[half] === undefined) {
  console.error(`usage: node scripts/build.mjs ${Object.keys(projects).join('|')}`)
  process.exit(2)
}
if (half === 'tools' && !existsSync(`${root}lib/index.js`)) build(projects.lib)
build(projects[half])

function build({ config, output, passes }) {
  const next = `${root}${output}.next-${process.pid}`
  for (const options of passes) {
    const args = [tsc, '-p', config, '--outDir', next, ...options]
    const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' })
    if (status === 0) continue
    rmSync(next, { recursive: true, force: true })
    process.exit(status ?? 1)
  }
  if (output === 'lib') dropHiddenDeclarations(next)
  if (existsSync(`${next}/cli/main.js`)) chmodSync(`${next}/cli/main.js`, 0o755)
  rmSync(`${root}${output}`, { recursive: true, force: true })
  renameSync(next, `${root}${output}`)
}

/** Declarations that no entry point leads to are of no use to an importer: the package goes without. */
function dropHiddenDeclarations(folder) {
  const { exports } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'))
  const reached = new Set()
  const reach = (file) => {
    if (reached.has(file) || !existsSync(file)) return
    reached.add(file)
    for (const [, path] of readFileSync(file, 'utf8').matchAll(/(?:from|import\()\s*['"](\.[^'"]+)\.js['"]/g))
      reach(join(file, '..', `${path}.d.ts`))
  }
  for (const { types } of Object.values(exports))
    if (types !== undefined) reach(join(folder, types.slice('./lib/'.length)))
  for (const name of readdirSync(folder, { recursive: true }))
    if (name.endsWith('.d.ts') && !reached.has(join(folder, name))) rmSync(join(folder, name))
}
