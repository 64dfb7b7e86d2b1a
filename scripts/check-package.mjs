// What `npm pack` makes, tried as a user would: publint, size, an empty project that installs the packed file and reaches
// every entry point from ESM, from CommonJS require() and from TypeScript, and runs the command.
//   node scripts/check-package.mjs        prints one line a check and, at the end, `N passed, N failed`
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const entries = Object.keys(manifest.exports)
  .filter((entry) => entry !== './package.json')
  .map((entry) => manifest.name + entry.slice(1))
const scratch = mkdtempSync(join(tmpdir(), 'ipvs-sync-package-'))
const results = { passed: 0, failed: 0 }
/** A backup opens its sockets in two threads and closes them again. */
const WORKERS = `const port = 20000 + Math.floor(Math.random() * 12000)
const backup = new SyncBackup({ peers: [{ address: '127.0.0.1', port }], workers: 2, sysctls: { syncPorts: 2 } })
backup.start().then(() => backup.close()).then(() => console.log(backup.workers + ' workers'))
`

const tarball = check('npm pack', () => {
  const [packed] = JSON.parse(run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', scratch], root))
  const strangers = packed.files
    .map(({ path }) => path)
    .filter(
      (path) =>
        !/^(lib|src|docs|examples)\/|^(package\.json|README\.md|LICENSE|CHANGELOG\.md|SECURITY\.md|completions\/.*|man\/.*)$/.test(
          path
        )
    )
  if (strangers.length > 0) throw new Error(`files that no user needs: ${strangers.join(', ')}`)
  const file = join(scratch, packed.filename)
  const kilobytes = statSync(file).size / 1000
  if (kilobytes > 1000) throw new Error(`${kilobytes.toFixed(0)} kB packed; at most 1000 kB are wanted`)
  saidInReadme(/less than (\d+) kB packed/, kilobytes)
  return { value: file, note: `${packed.files.length} files, ${kilobytes.toFixed(0)} kB` }
})

check('what the manifest names is packed', () => {
  const packed = run('tar', ['-tzf', tarball], root).split('\n')
  const named = [manifest.man, ...Object.values(manifest.bin), ...Object.values(manifest.exports).flatMap(pathsOf)]
  const missing = named.filter((path) => !packed.includes(join('package', path)))
  if (missing.length > 0) throw new Error(`named in package.json and not packed: ${missing.join(', ')}`)
  return { note: `${named.length} files` }
})

check('publint', () => ({
  note: run(process.execPath, [bin('publint'), 'run', '--strict'], root)
    .trim()
    .split('\n')
    .at(-1)
}))

if (tarball !== undefined) {
  const project = join(scratch, 'project')
  mkdirSync(project)
  writeFileSync(join(project, 'package.json'), '{ "name": "empty-project", "private": true, "type": "module" }\n')
  check('install into an empty project', () => {
    run('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', tarball], project)
    const mebibytes = Number(run('du', ['-sk', 'node_modules'], project).split('\t')[0]) / 1024
    saidInReadme(/less than (\d+) MiB installed/, mebibytes)
    return { note: `${mebibytes.toFixed(1)} MiB installed, ${manifest.name} and its runtime dependencies` }
  })
  check('import from ESM', () => {
    write('esm.mjs', entries.map((entry, i) => `import * as e${i} from '${entry}'\n`).join('') + names('e'))
    return { note: run(process.execPath, ['esm.mjs'], project).trim() }
  })
  check('require() from CommonJS', () => {
    write('cjs.cjs', entries.map((entry, i) => `const e${i} = require('${entry}')\n`).join('') + names('e'))
    return { note: run(process.execPath, ['cjs.cjs'], project).trim() }
  })
  check('worker threads from ESM and from CommonJS', () => {
    write('workers.mjs', `import { SyncBackup } from '${manifest.name}'\n${WORKERS}`)
    write('workers.cjs', `const { SyncBackup } = require('${manifest.name}')\n${WORKERS}`)
    return {
      note: ['workers.mjs', 'workers.cjs'].map((file) => run(process.execPath, [file], project).trim()).join(', ')
    }
  })
  check('types from TypeScript', () => {
    symlinkSync(join(root, 'node_modules/@types'), join(project, 'node_modules/@types'))
    write(
      'types.mts',
      entries.map((entry, i) => `import * as e${i} from '${entry}'\n`).join('') +
        `export const all = [${entries.map((_, i) => `e${i}`).join(', ')}]\n`
    )
    write(
      'types.cts',
      entries.map((entry, i) => `import e${i} = require('${entry}')\n`).join('') +
        `export const all = [${entries.map((_, i) => `e${i}`).join(', ')}]\n`
    )
    const options = [
      '--noEmit',
      '--strict',
      '--module',
      'nodenext',
      '--target',
      'es2023',
      '--types',
      'node',
      'types.mts',
      'types.cts'
    ]
    run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '--ignoreConfig', ...options], project)
    return { note: 'ESM and CommonJS importers' }
  })
  check('the command', () => ({
    note: run(process.execPath, ['node_modules/.bin/ipvs-sync', '--version'], project).trim().split('\n')[0]
  }))

  function write(name, text) {
    writeFileSync(join(project, name), text)
  }
}

rmSync(scratch, { recursive: true, force: true })
console.log(`package: ${results.passed} passed, ${results.failed} failed`)
process.exit(results.failed === 0 ? 0 : 1)

function check(name, body) {
  try {
    const { value, note } = body()
    results.passed++
    console.log(`ok - ${name}${note ? `: ${note}` : ''}`)
    return value
  } catch (error) {
    results.failed++
    console.log(`not ok - ${name}: ${error.message}\n${error.stdout ?? ''}${error.stderr ?? ''}`)
    return undefined
  }
}

/** README gives a ceiling: what was measured is below it, and not so far below that the ceiling says nothing. */
function saidInReadme(pattern, measured) {
  const said = Number(pattern.exec(readFileSync(join(root, 'README.md'), 'utf8'))?.[1])
  if (measured < said && measured > 0.8 * said) return
  throw new Error(`README says "${pattern.source}" with ${said}, measured ${measured.toFixed(1)}`)
}

function pathsOf(entry) {
  return typeof entry === 'string' ? [entry] : Object.values(entry)
}

function run(command, args, cwd) {
  return execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

function bin(name) {
  const require = createRequire(import.meta.url)
  return join(root, 'node_modules', name, require(join(root, 'node_modules', name, 'package.json')).bin[name] ?? '')
}

/** One line: how many names each entry point gives; none would be a broken entry point. */
function names(prefix) {
  const list = entries.map((entry, i) => `['${entry}', Object.keys(${prefix}${i}).length]`).join(', ')
  return `const found = [${list}]\nif (found.some(([, n]) => n === 0)) throw new Error('an entry point without names: ' + found)\nconsole.log(found.map(([e, n]) => e + ' ' + n).join(', '))\n`
}
