/**
 * Expiry of a table of a backup, driven as `SyncBackup` does it: at each `nextTimeout`. Prints the longest call in
 * milliseconds where deadlines are `spread` over 900 s or all in `one-second`; for `steady` the share of a core in percent
 * (spread, every connection refreshed at random meanwhile is not counted: the wheel's work alone); for `gc` the longest
 * collection in milliseconds while messages come.
 */
import { PerformanceObserver } from 'node:perf_hooks'
import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { BackupEngine } from 'ipvs-sync/engine'
import { makeMessages, shuffled } from '../input.js'
import { given, print, processorTime } from './timing.js'

const { variant, seconds, connections } = given()
const FROM = { address: '192.0.2.1', port: 8848 }
const START = 1_000_000
const LIFE = 900_000
const engine = new BackupEngine({ syncid: 7, maxConnections: connections })
const messages = makeMessages(connections, shuffled(connections))
let now = START

/** Fills the table: deadlines all at once, or spread over the whole of a lifetime, as traffic does. */
function fill(over: number): void {
  messages.forEach((message, i) => {
    now = START + Math.floor((i * over) / messages.length)
    engine.handleDatagram(message, FROM, now)
  })
}

/** Lets time pass until the table is empty; the longest call, and all calls together. */
function expireAll(): { longest: number; total: number } {
  let longest = 0
  let total = 0
  while (engine.table.size > 0) {
    now = Math.max(now, engine.nextTimeout())
    const [clock, processor] = [performance.now(), processorTime()]
    engine.handleTimeout(now)
    // The clock counts what other programs take, the processor what the compiler's own thread does: the call is the less of both.
    const took = Math.min(performance.now() - clock, processorTime() - processor)
    longest = Math.max(longest, took)
    total += took
  }
  return { longest, total }
}

async function collect(): Promise<number> {
  // What making the messages has left is not what their coming costs.
  setFlagsFromString('--expose-gc')
  ;(runInNewContext('gc') as () => void)()
  await turn()
  let longest = 0
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) longest = Math.max(longest, entry.duration)
  }).observe({ entryTypes: ['gc'] })
  fill(0)
  const end = performance.now() + seconds * 1000
  for (let i = 0; performance.now() < end; i = (i + 1) % messages.length) {
    engine.handleDatagram(messages[i]!, FROM, ++now)
    if (i % 1000 === 0) await turn()
  }
  await turn()
  return longest
}

if (variant === 'gc') print(await collect())
else {
  fill(variant === 'one-second' ? 0 : LIFE - 1)
  const { longest, total } = expireAll()
  print(variant === 'steady' ? (total / LIFE) * 100 : longest)
}
