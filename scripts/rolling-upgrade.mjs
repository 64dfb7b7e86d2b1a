// npm run test:upgrade -- [COMMIT]: version 0.1.0 and this one in one group, every pair of roles, as in a rolling upgrade.
//
// The old version (commit 6329616, tag v0.1.0) is taken from this repository's history and built in a temporary folder, with the
// dependencies of this checkout. Each pair has its own multicast group on the loopback interface. Needs a build
// (npm run build). The last line is `N passed, N failed`.
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { createServer } from 'node:net'
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { connectionOf } from './loopback-connection.mjs'

const OLD_COMMIT = process.argv[2] ?? '6329616'
const CONNECTIONS = 300
const PATIENCE = 60_000
const root = fileURLToPath(new URL('..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'ipvs-sync-upgrade-'))
const running = new Set()
let passed = 0
let failed = 0

if (spawnSync('git', ['cat-file', '-e', `${OLD_COMMIT}^{commit}`], { cwd: root, stdio: 'ignore' }).status !== 0) {
  console.log(`skipped: this clone does not hold commit ${OLD_COMMIT} (a shallow clone?)`)
  process.exit(0)
}
try {
  const commands = { old: buildOld(), new: join(root, 'lib/cli/main.js') }
  for (const [from, to] of [
    ['old', 'new'],
    ['new', 'old']
  ]) {
    for (const version of [0, 1]) await announce(commands, from, to, version)
    await resync(commands, from, to)
    await supply(commands, from, to)
  }
  await restart(commands)
} finally {
  for (const child of running) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
}
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1

function buildOld() {
  const archive = execFileSync('git', ['archive', OLD_COMMIT], { cwd: root, maxBuffer: 1 << 28 })
  execFileSync('tar', ['-x', '-C', folder], { input: archive })
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  execFileSync('npm', ['run', '-s', 'build'], { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] })
  return join(folder, 'lib/cli/main.js')
}

/** A master's connections reach a backup. */
async function announce(commands, from, to, version) {
  const group = nextGroup()
  const backup = await daemon(commands[to], 'backup', group)
  const master = start(commands[from], 'master', [...group, '--sysctl', `sync_version=${version}`])
  master.stdin.end(lines())
  await ended(master)
  check(`master ${from}, backup ${to}, version ${version}`, await holds(backup))
  await stop(backup.child)
}

/** A table that is sent once reaches a backup. */
async function resync(commands, from, to) {
  const group = nextGroup()
  const backup = await daemon(commands[to], 'backup', group)
  const sender = start(commands[from], 'resync', [...group, '--source', '-'])
  sender.stdin.end(lines())
  await ended(sender)
  check(`resync ${from}, backup ${to}`, await holds(backup))
  await stop(backup.child)
}

/** An agent that has the table supplies it to one that starts. */
async function supply(commands, from, to) {
  const group = nextGroup()
  const giver = await daemon(commands[from], 'agent', group, ['--no-kernel', '--limit', '1'])
  const sender = start(commands[from], 'resync', [...group, '--source', '-'])
  sender.stdin.end(lines())
  await ended(sender)
  const isFilled = await holds(giver)
  const taker = await daemon(commands[to], 'agent', group, ['--no-kernel', '--limit', '40'])
  check(`agent ${from} supplies agent ${to}`, isFilled && (await holds(taker)) && (await isReady(taker)))
  await stop(taker.child)
  await stop(giver.child)
}

/** A new agent loads the store that an old one left. */
async function restart(commands) {
  const group = nextGroup()
  const store = join(folder, 'store')
  const options = ['--no-kernel', '--limit', '1', '--store', store]
  const before = await daemon(commands.old, 'agent', group, options)
  const sender = start(commands.old, 'resync', [...group, '--source', '-'])
  sender.stdin.end(lines())
  await ended(sender)
  const isFilled = await holds(before)
  await stop(before.child)
  const after = await daemon(commands.new, 'agent', group, options)
  check('agent new loads the store of agent old', isFilled && (await holds(after)))
  await stop(after.child)
}

function check(name, isRight) {
  if (isRight) passed++
  else failed++
  console.log(`${isRight ? 'ok' : 'not ok'} - ${name}`)
}

function nextGroup() {
  nextGroup.count = (nextGroup.count ?? 0) + 1
  const group = `239.${process.pid & 255}.${(process.pid >> 8) & 255}.${nextGroup.count}`
  return [
    '--mcast-interface',
    'lo',
    '--mcast-group',
    group,
    '--mcast-port',
    String(20_000 + nextGroup.count),
    '--syncid',
    '7'
  ]
}

/** Starts a daemon with an HTTP port, and waits until it listens. */
async function daemon(main, command, group, more = []) {
  const port = await freePort()
  const child = start(main, command, [...group, ...more, '--http', `127.0.0.1:${port}`])
  child.stdin.end()
  const url = `http://127.0.0.1:${port}`
  await until(async () => (await fetch(`${url}/healthz`)).ok)
  return { child, url }
}

async function holds({ url }) {
  return until(async () => {
    const text = await (await fetch(`${url}/connections`)).text()
    const clients = new Set(Array.from(text.matchAll(/"client":\{[^}]*\}/g), ([client]) => client))
    return clients.size === CONNECTIONS
  })
}

async function isReady({ url }) {
  return until(async () => (await fetch(`${url}/readyz`)).ok)
}

async function until(condition) {
  const end = Date.now() + PATIENCE
  while (Date.now() < end) {
    if (await condition().catch(() => false)) return true
    await wait(100)
  }
  return false
}

function start(main, command, options) {
  const child = spawn(process.execPath, [main, command, ...options], { stdio: ['pipe', 'pipe', 'pipe'] })
  running.add(child)
  child.said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (child.said += data))
  child.ended = new Promise((resolve) => child.on('close', (code) => (running.delete(child), resolve(code))))
  return child
}

async function ended(child) {
  const code = await child.ended
  if (code !== 0) console.log(`exit code ${code}:\n${child.said}`)
}

async function stop(child) {
  child.kill('SIGTERM')
  await child.ended
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** Established TCP connections that were seen by their third packet, so that the default threshold announces each. */
function lines() {
  return Array.from(
    { length: CONNECTIONS },
    (_, i) => `${JSON.stringify({ ...connectionOf(i, 900), packets: 3 })}\n`
  ).join('')
}
