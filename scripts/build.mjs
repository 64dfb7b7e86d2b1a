// Builds one half of the tree:
//   node scripts/build.mjs lib     src -> lib, what the package ships (run by `npm ci` through `prepare`): tsc, then one rollup bundle
//   node scripts/build.mjs tools   bench, examples, the kernel laboratory and the fuzzer -> .build; they import the package by its name
// The output replaces the previous one only when it is complete, so that a running process keeps its files.
//
// lib/ is bundled because V8 folds a constant of the same module and reads one of another module at every use: the hot
// loops gain 15 to 40 %, and a command starts from a few files. rollup keeps `const`; esbuild turns it into `var`, which is slower.
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc')
/** Modules that the benchmark measures and the package does not export; bench/ imports them as `#lib/…`. */
const MEASURED = ['agent/kernel', 'daemon/table-store', 'procfs/index', 'table/packed-snapshot']
const HALVES = { lib: buildLib, tools: buildTools }

const half = process.argv[2]
if (!Object.hasOwn(HALVES, half ?? '')) {
  console.error(`usage: node scripts/build.mjs ${Object.keys(HALVES).join('|')}`)
  process.exit(2)
}
await HALVES[half]()

async function buildLib() {
  const stage = `${root}lib.next-${process.pid}-modules`
  const next = `${root}lib.next-${process.pid}`
  try {
    // Comments go into the declarations, which editors show, and stay in src, to which the source maps lead.
    compile('tsconfig.build.json', stage, '--declaration', 'false', '--removeComments')
    compile('tsconfig.build.json', next, '--emitDeclarationOnly', '--sourceMap', 'false')
    await bundle(stage, next)
    dropUnreachableDeclarations(next)
    chmodSync(join(next, 'cli/main.js'), 0o755)
    replace('lib', next)
  } finally {
    for (const folder of [stage, next]) rmSync(folder, { recursive: true, force: true })
  }
}

async function buildTools() {
  if (!existsSync(`${root}lib/index.js`)) await buildLib()
  const next = `${root}.build.next-${process.pid}`
  try {
    compile('tsconfig.tools.json', next)
    replace('.build', next)
  } finally {
    rmSync(next, { recursive: true, force: true })
  }
}

function compile(project, output, ...options) {
  const { status } = spawnSync(process.execPath, [tsc, '-p', project, '--outDir', output, ...options], {
    cwd: root,
    stdio: 'inherit'
  })
  if (status !== 0) throw new Error(`tsc -p ${project} failed`)
}

function replace(output, next) {
  rmSync(`${root}${output}`, { recursive: true, force: true })
  renameSync(next, `${root}${output}`)
}

/** Bundles the compiled modules. Entry points keep their paths; what several of them share goes into chunks/. */
async function bundle(stage, output) {
  const { rollup } = await import('rollup')
  const build = await rollup({
    input: Object.fromEntries(entries(stage).map((name) => [name, join(stage, `${name}.js`)])),
    external: (id) => !id.startsWith('.') && !id.startsWith('/'),
    plugins: [
      { name: 'source-maps', load: (file) => withSourceMap(file, stage) },
      { name: 'places', resolveImportMeta: (property, at) => placeOf(property, at, stage) }
    ],
    onwarn: (warning) => {
      throw new Error(warning.message)
    }
  })
  await build.write({
    dir: output,
    format: 'es',
    sourcemap: true,
    entryFileNames: '[name].js',
    chunkFileNames: ({ facadeModuleId: facade, moduleIds, name }) => {
      if (facade !== null) return `chunks/${relative(stage, facade).slice(0, -3).replaceAll(sep, '-')}.js`
      // The package leaves out the source maps of chunks/cli-*: it does not hold the source of the commands.
      const isCommands = moduleIds.every((id) => relative(stage, id).startsWith(`cli${sep}`))
      return `chunks/${isCommands ? 'cli-' : ''}${name}.js`
    },
    manualChunks: (id, graph) => (isCore(id, stage, graph) ? 'core' : undefined),
    minifyInternalExports: false
  })
  await build.close()
}

/** The codec's and the table's hot loops share a chunk with their constants. What leads to a package stays outside, so that it is loaded on demand. */
function isCore(id, stage, { getModuleInfo }) {
  if (!/^(?:[^/]+|(?:wire|table)\/.*)\.js$/.test(relative(stage, id).split(sep).join('/'))) return false
  const { importedIds } = getModuleInfo(id)
  return importedIds.every((other) => other.startsWith(stage) && isCore(other, stage, { getModuleInfo }))
}

/** Every entry point of the package, the command's programs, the threads' first modules, and what the benchmark measures. */
function entries(stage) {
  const { exports, bin } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'))
  const named = [...Object.values(exports).map(({ default: file }) => file), ...Object.values(bin)]
    .filter((file) => file !== undefined)
    .map((file) => file.replace(/^(?:\.\/)?lib\/(.*)\.js$/, '$1'))
  const threads = readdirSync(stage, { recursive: true }).filter((name) => name.endsWith('-thread.js'))
  return [
    ...new Set([...named, 'cli/run', ...MEASURED, ...threads.map((name) => name.slice(0, -3).split(sep).join('/'))])
  ]
}

/** `import.meta.url` is the module's own place in lib/, whichever chunk its code is in. */
function placeOf(property, { chunkId, moduleId }, stage) {
  if (property !== 'url') return null
  const module = relative(stage, moduleId).split(sep).join('/')
  const path = relative(dirname(chunkId), module).split(sep).join('/')
  return `new URL(${JSON.stringify(path.startsWith('.') ? path : `./${path}`)}, import.meta.url).href`
}

/** A compiled module with its map, whose sources are named from where they lie in the tree. */
function withSourceMap(file, stage) {
  if (!file.startsWith(stage)) return null
  const map = JSON.parse(readFileSync(`${file}.map`, 'utf8'))
  const source = join(root, 'src', relative(stage, file).replace(/\.js$/, '.ts'))
  return {
    code: readFileSync(file, 'utf8'),
    map: { ...map, sourceRoot: '', sources: [relative(dirname(file), source)] }
  }
}

/** Removes the declarations that no entry point leads to: neither an importer nor the benchmark can use them. */
function dropUnreachableDeclarations(folder) {
  const { exports } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'))
  const reached = new Set()
  const reach = (file) => {
    if (reached.has(file) || !existsSync(file)) return
    reached.add(file)
    for (const [, path] of readFileSync(file, 'utf8').matchAll(/(?:from|import\()\s*['"](\.[^'"]+)\.js['"]/g))
      reach(join(file, '..', `${path}.d.ts`))
  }
  for (const name of MEASURED) reach(join(folder, `${name}.d.ts`))
  for (const { types } of Object.values(exports))
    if (types !== undefined) reach(join(folder, types.slice('./lib/'.length)))
  for (const name of readdirSync(folder, { recursive: true }))
    if (name.endsWith('.d.ts') && !reached.has(join(folder, name))) rmSync(join(folder, name))
}
