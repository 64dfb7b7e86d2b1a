// npm run soak:reload -- [--reloads N] [--restarts N] [--connections N]: reloads and restarts an agent again and again; it may lose nothing.
//
// An agent with --store receives a table over the loopback's UDP. First it gets SIGHUP N times, each time with another value in its settings
// file. Then it is ended with SIGTERM and started again N times; each instance loads the table that the one before it stored. After every
// restart, and after each hundredth reload, its table must have exactly the connections that were sent: the two sorted lists are compared.
// Each round also announces one more connection. 1,000 of each by default. Needs a build (npm run build). The last line is
// `N passed, N failed`.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { encodeMessages, UdpSender } from '../lib/index.js'
import { connectionOf } from './loopback-connection.mjs'

const COMMAND = fileURLToPath(new URL('../lib/cli/main.js', import.meta.url))
const [SYNCID, PORT, HTTP_PORT] = [62, 18_858, 18_859]
const NETWORK = { mcastInterface: 'lo', mcastPort: PORT }
/** Seconds that any step may take. */
const PATIENCE = 60
/** How much more memory than after a fifth of the reloads is accepted, and how many more descriptors. */
const [RESIDENT_GROWTH, MORE_DESCRIPTORS] = [1.25, 2]

const { values } = parseArgs({
  options: {
    reloads: { type: 'string', default: '1000' },
    restarts: { type: 'string', default: '1000' },
    connections: { type: 'string', default: '2000' }
  }
})
const [reloads, restarts, connections] = [values.reloads, values.restarts, values.connections].map(Number)
const folder = mkdtempSync(join(tmpdir(), 'ipvs-sync-reload-'))
const [settings, store] = ['settings', 'store'].map((name) => join(folder, name))
const faults = []
const expected = new Set()
const sender = new UdpSender(NETWORK)
let agent
try {
  writeSettings(0)
  await sender.start({})
  agent = await startAgent()
  for (let number = 0; number < connections; number += 200) {
    await announce(Array.from({ length: Math.min(200, connections - number) }, (_, more) => number + more))
    await sleep(5)
  }
  await compare('the first table')
  await reload()
  await restart()
} catch (error) {
  faults.push(String(error))
} finally {
  agent?.child.kill('SIGKILL')
  await sender.close()
  rmSync(folder, { recursive: true, force: true })
}
for (const fault of faults.slice(0, 20)) console.log(`fault: ${fault}`)
console.log(`${faults.length === 0 ? 1 : 0} passed, ${faults.length === 0 ? 0 : 1} failed`)
process.exitCode = faults.length === 0 ? 0 : 1

/** SIGHUP again and again: the process stays, and so does what it uses. */
async function reload() {
  let warm
  for (let round = 1; round <= reloads; round++) {
    writeSettings(round)
    agent.child.kill('SIGHUP')
    // Lines have a budget of 10 a minute, the counter has none. Metrics are computed once a second at most.
    await until(`reload ${round}`, async () => (await read('/metrics')).includes(`{code="RELOAD"} ${round}\n`))
    await announce([connections + round])
    if (round % 100 === 0 || round === reloads) await compare(`after ${round} reloads`)
    if (round === Math.ceil(reloads / 5)) warm = usage()
  }
  if (reloads === 0) return
  const last = usage()
  console.log(
    `${reloads} reloads: resident ${megabytes(warm.resident)} → ${megabytes(last.resident)}, descriptors ${warm.descriptors} → ${last.descriptors}`
  )
  if (last.resident > warm.resident * RESIDENT_GROWTH) faults.push('resident memory grew over the reloads')
  if (last.descriptors > warm.descriptors + MORE_DESCRIPTORS) faults.push('descriptors grew over the reloads')
}

/** SIGTERM and a new process: the table goes through the store. */
async function restart() {
  const began = performance.now()
  for (let round = 1; round <= restarts; round++) {
    const ended = once(agent.child, 'exit')
    agent.child.kill('SIGTERM')
    const [code, signal] = await ended
    if (code !== 0) faults.push(`restart ${round}: the agent ended with ${code ?? signal}`)
    agent = await startAgent()
    await compare(`after ${round} restarts`)
    await announce([connections + reloads + round])
    if (round % 100 === 0) console.log(`${round} restarts, ${((performance.now() - began) / 1000).toFixed(0)} s`)
  }
  await compare('at the end')
  console.log(`${restarts} restarts: ${expected.size} connections`)
}

/** Starts the agent; resolves when it listens. */
async function startAgent() {
  const words = [
    'agent',
    '--mcast-interface',
    'lo',
    '--mcast-port',
    PORT,
    '--syncid',
    SYNCID,
    '--no-kernel',
    '--limit',
    '1'
  ]
  words.push('--http', HTTP_PORT, '--store', store, '--sysctl-from', settings, '--log-interval', '0')
  const child = spawn(process.execPath, [COMMAND, ...words.map(String)], { stdio: ['ignore', 'ignore', 'pipe'] })
  const started = { child, isListening: false, lines: [] }
  createInterface({ input: child.stderr }).on('line', (line) => {
    started.lines.push(line)
    if (started.lines.length > 10) started.lines.shift()
    if (line.includes('listening on')) started.isListening = true
  })
  await until('the agent listens', () => started.isListening || child.exitCode !== null)
  if (child.exitCode !== null) throw new Error(`the agent ended with ${child.exitCode}: ${started.lines.join('; ')}`)
  return started
}

/** Sends connections by number, each once. */
async function announce(numbers) {
  const sent = numbers.map((number) => connectionOf(number, 86_000))
  for (const message of encodeMessages({ version: 1, syncid: SYNCID, connections: sent })) sender.send(0, message)
  await sender.flush()
  for (const { client } of sent) expected.add(`${client.address}:${client.port}`)
}

/** Compares the agent's table with what was sent, patiently: the last datagram can be under way. */
async function compare(when) {
  const end = performance.now() + PATIENCE * 1000
  let difference
  while ((difference = await differenceNow()) !== '' && performance.now() < end) await sleep(20)
  if (difference !== '') faults.push(`${when}: ${difference}`)
}

async function differenceNow() {
  const lines = (await read('/connections')).split('\n').filter((line) => line !== '')
  const found = new Set(lines.map((line) => JSON.parse(line).client).map(({ address, port }) => `${address}:${port}`))
  const missing = [...expected].filter((key) => !found.has(key))
  const added = [...found].filter((key) => !expected.has(key))
  if (missing.length + added.length === 0) return ''
  return `${missing.length} connections missing (${missing.slice(0, 3).join(' ')}), ${added.length} not sent`
}

/** A page of the agent's HTTP port; empty while it does not answer. */
async function read(path) {
  try {
    const [response] = await once(get(`http://127.0.0.1:${HTTP_PORT}${path}`, { agent: false }), 'response')
    return await text(response)
  } catch {
    return ''
  }
}

function writeSettings(round) {
  writeFileSync(settings, `net.ipv4.vs.sync_refresh_period = ${round}\n`)
}

/** Memory and descriptors of the agent. */
function usage() {
  const { pid } = agent.child
  const resident = 1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1])
  return { resident, descriptors: readdirSync(`/proc/${pid}/fd`).length }
}

async function until(what, holds) {
  const end = performance.now() + PATIENCE * 1000
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`waited ${PATIENCE} s for this: ${what}`)
    await sleep(20)
  }
}

function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`
}
