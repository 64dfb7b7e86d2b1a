// npm run soak -- [--seconds N] [--rate N]: a backup receives N updates a second over the loopback's UDP, and may not grow.
//
// A child process sends a table of 50,000 connections again and again. After a fifth of the time the backup is warm: from then on the heap
// after a collection, the resident memory and the handles are compared with what they were. An hour and 100,000 updates a second by
// default. Needs a build (npm run build). The last line is `N passed, N failed`.
import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { performance } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { encodeMessages, SyncBackup, UdpSender } from '../lib/index.js'
import { connectionOf } from './loopback-connection.mjs'

const CONNECTIONS = 50_000
const [SYNCID, PORT] = [61, 18_848]
const NETWORK = { mcastInterface: 'lo', mcastPort: PORT }
/** How much more than when warm is accepted. */
const [HEAP_GROWTH, RESIDENT_GROWTH] = [1.3, 1.25]
/** Bursts a second: a receive buffer must hold one. */
const BURSTS = 100

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '3600' },
    rate: { type: 'string', default: '100000' },
    send: { type: 'boolean', default: false }
  }
})
const [seconds, rate] = [Number(values.seconds), Number(values.rate)]
if (values.send) await send()
else process.exitCode = await soak()

async function soak() {
  const gc = collector()
  const backup = new SyncBackup({
    ...NETWORK,
    syncid: SYNCID,
    maxConnections: 2 * CONNECTIONS,
    sysctls: { syncSockSize: 8 << 20 }
  })
  await backup.start()
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), '--send', '--rate', String(rate)], {
    stdio: ['pipe', 'inherit', 'inherit']
  })
  const began = performance.now()
  const elapsed = () => (performance.now() - began) / 1000
  let warm
  let last
  let updatesBefore = 0
  while (elapsed() < seconds) {
    await sleep(Math.min(60, seconds / 10) * 1000)
    gc()
    const { rss, heapUsed, arrayBuffers } = process.memoryUsage()
    const counters = backup.counters()
    last = { rss, heap: heapUsed + arrayBuffers, handles: process.getActiveResourcesInfo().length, size: backup.size }
    const updates = counters.updated + counters.created
    last.updates = (updates - updatesBefore) / Math.min(60, seconds / 10)
    updatesBefore = updates
    if (warm === undefined && elapsed() >= seconds / 5) warm = last
    const figures = [
      `${last.updates.toFixed(0)} updates a second`,
      `${last.size} connections`,
      `heap ${megabytes(last.heap)}, resident ${megabytes(last.rss)}`,
      `${last.handles} handles`
    ]
    console.log(`${elapsed().toFixed(0).padStart(5)} s: ${figures.join('; ')}`)
  }
  child.stdin.end()
  await backup.close()
  const faults = [
    ...(last.heap > warm.heap * HEAP_GROWTH
      ? [`heap grew from ${megabytes(warm.heap)} to ${megabytes(last.heap)}`]
      : []),
    ...(last.rss > warm.rss * RESIDENT_GROWTH
      ? [`resident memory grew from ${megabytes(warm.rss)} to ${megabytes(last.rss)}`]
      : []),
    ...(last.handles > warm.handles ? [`handles grew from ${warm.handles} to ${last.handles}`] : []),
    ...(last.size === CONNECTIONS ? [] : [`${last.size} connections in the table, expected ${CONNECTIONS}`])
  ]
  for (const fault of faults) console.log(`fault: ${fault}`)
  console.log(`${faults.length === 0 ? 1 : 0} passed, ${faults.length === 0 ? 0 : 1} failed`)
  return faults.length === 0 ? 0 : 1
}

/** The child: sends until its standard input ends. */
async function send() {
  process.stdin.on('end', () => process.exit()).resume()
  const connections = Array.from({ length: CONNECTIONS }, (_, number) => connectionOf(number, 900))
  const messages = [...encodeMessages({ version: 1, syncid: SYNCID, connections })]
  const sender = new UdpSender(NETWORK)
  await sender.start({})
  const perMessage = CONNECTIONS / messages.length
  const began = performance.now()
  for (let sent = 0; ; await sleep(1000 / BURSTS)) {
    const due = Math.floor(((performance.now() - began) / 1000) * (rate / perMessage))
    // A process that did not run for a while does not send all at once what it missed.
    if (due - sent > rate / perMessage / 10) sent = due - Math.floor(rate / perMessage / 10)
    for (; sent < due; sent++) {
      if (!sender.writable(0)) await sender.flush()
      sender.send(0, messages[sent % messages.length])
    }
    await sender.flush()
  }
}

/** The garbage collector, without a flag on the command line. */
function collector() {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc')
}

function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`
}
