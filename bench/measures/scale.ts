/**
 * One table of so many connections: prints a line of JSON with what it takes to build it, to bring one connection up to
 * date, to visit every connection as a snapshot does, and to let all expire; nanoseconds of processor time a connection.
 */
import { BackupEngine } from 'ipvs-sync/engine'
import { ConnectionTable } from 'ipvs-sync'
import { MessageReader, ROW, ROW_WORDS } from 'ipvs-sync/wire'
import { makeMessages, PER_MESSAGE } from '../input.js'
import { given, processorTime } from './timing.js'

const { connections } = given()
const FROM = { address: '192.0.2.1', port: 8848 }
const START = 1_000_000
const table = new ConnectionTable({ maxConnections: connections })
const engine = new BackupEngine({ syncid: 7, table })
/** Connections that are kept ready as messages; the others have another virtual address. */
const BLOCK = Math.min(40_000, connections)
const block = makeMessages(BLOCK)
const reader = new MessageReader()

/** All connections, block by block, each block with addresses of its own. */
function pass(now: number): number {
  let spent = 0
  for (let first = 0; first < connections; first += BLOCK) {
    for (const message of block) shift(message, first)
    const begin = processorTime()
    for (const message of block) engine.handleDatagram(message, FROM, now)
    spent += processorTime() - begin
  }
  return spent
}

/** Sets the first two bytes of the virtual addresses to the block's number. */
function shift(message: Uint8Array, first: number): void {
  const number = first / BLOCK
  for (let k = 0; k < PER_MESSAGE; k++) {
    message[8 + 36 * k + 28] = number >>> 8
    message[8 + 36 * k + 29] = number & 0xff
  }
}

const before = process.memoryUsage().rss
const build = pass(START)
if (table.size !== connections) throw new Error(`${table.size} of ${connections}`)
const bytes = (process.memoryUsage().rss - before) / connections
const update = pass(START + 1000)
const rows = reader.rows
let begin = processorTime()
let sum = 0
for (const slot of table.slots()) {
  table.readRow(slot, rows, 0)
  sum += rows.words[ROW.STATE]! + ROW_WORDS
}
const visit = processorTime() - begin
begin = processorTime()
let longest = 0
let now = START + 900_000
while (table.size > 0) {
  now = Math.max(now, engine.nextTimeout())
  const from = processorTime()
  engine.handleTimeout(now)
  longest = Math.max(longest, processorTime() - from)
}
const expire = processorTime() - begin
const each = (ms: number): number => Math.round((ms * 1e6) / connections)
console.log(
  JSON.stringify({
    connections,
    bytes: Math.round(bytes),
    build: each(build),
    update: each(update),
    visit: each(visit),
    expire: each(expire),
    longestTick: Number(longest.toFixed(1))
  })
)
if (sum === 0) throw new Error('nothing was visited')
