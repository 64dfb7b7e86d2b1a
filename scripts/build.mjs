// Compiles one half of the tree with tsc:
//   node scripts/build.mjs lib     src -> lib, what the package ships (run by `npm ci` through `prepare`)
//   node scripts/build.mjs tools   bench, examples, the kernel laboratory and the fuzzer -> .build; they import the package by its name
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc')
const [half] = process.argv.slice(2)
const projects = {
  lib: { config: 'tsconfig.build.json', output: 'lib' },
  tools: { config: 'tsconfig.tools.json', output: '.build' }
}
const project = projects[half]
if (project === undefined) {
  console.error(`usage: node scripts/build.mjs ${Object.keys(projects).join('|')}`)
  process.exit(2)
}
if (half === 'tools' && !existsSync(`${root}lib/index.js`)) run('tsconfig.build.json')
rmSync(`${root}${project.output}`, { recursive: true, force: true })
run(project.config)
if (existsSync(`${root}lib/cli/main.js`)) chmodSync(`${root}lib/cli/main.js`, 0o755)

function run(config) {
  const { status } = spawnSync(process.execPath, [tsc, '-p', config], { cwd: root, stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}
