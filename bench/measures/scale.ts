/**
 * One table of so many connections: prints a line of JSON with what it takes to build it, to bring one connection up to
 * date, to visit every connection, to pack all for an agent's store and messages of all (what another
 * director is sent), and to let all expire; nanoseconds of processor time a connection.
 */
import { crc32 } from 'node:zlib'
import { BackupEngine, MasterEngine } from 'ipvs-sync/engine'
import { ConnectionTable } from 'ipvs-sync'
import { MessageReader, ROW, ROW_WORDS } from 'ipvs-sync/wire'
import { packTable } from '#lib/table/packed-snapshot.js'
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

/** All connections, block by block, each block with its own addresses. */
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

/** The bytes of an agent's store; none of them is kept. */
function store(): number {
  const begin = processorTime()
  let length = 0
  for (const portion of packTable(table, 0, crc32)) length += portion.length
  const spent = processorTime() - begin
  if (length < 40 * connections) throw new Error(`${length} bytes are no store of ${connections}`)
  return spent
}

/** Full messages of all, taken out as they are made. */
function messages(now: number): number {
  const master = new MasterEngine({ syncid: 7, table, expires: false })
  const begin = processorTime()
  let made = 0
  const slots: number[] = []
  const announce = (): void => {
    master.announceSlots(slots, now)
    slots.length = 0
    while (master.pollTransmit(0) !== undefined) made++
  }
  for (const slot of table.slots()) if (slots.push(slot) === 1000) announce()
  announce()
  const spent = processorTime() - begin
  if (made < Math.floor(connections / PER_MESSAGE) - 1) throw new Error(`${made} messages for ${connections}`)
  return spent
}

/** Reads every connection. */
function visit(): number {
  const { rows } = reader
  const begin = processorTime()
  let sum = 0
  for (const slot of table.slots()) {
    table.readRow(slot, rows, 0)
    sum += rows.words[ROW.STATE]! + ROW_WORDS
  }
  if (sum === 0) throw new Error('nothing was visited')
  return processorTime() - begin
}

/** Lets all expire; the time of it, and of the longest tick. */
function expire(): { readonly spent: number; readonly longest: number } {
  const begin = processorTime()
  let longest = 0
  let now = START + 900_000
  while (table.size > 0) {
    now = Math.max(now, engine.nextTimeout())
    const from = processorTime()
    engine.handleTimeout(now)
    longest = Math.max(longest, processorTime() - from)
  }
  return { spent: processorTime() - begin, longest }
}

const each = (ms: number): number => Math.round((ms * 1e6) / connections)
const before = process.memoryUsage().rss
const build = pass(START)
if (table.size !== connections) throw new Error(`${table.size} of ${connections}`)
const bytes = (process.memoryUsage().rss - before) / connections
const costs = {
  build: each(build),
  update: each(pass(START + 1000)),
  visit: each(visit()),
  messages: each(messages(START + 1000)),
  store: each(store())
}
const { spent, longest } = expire()
console.log(
  JSON.stringify({
    connections,
    bytes: Math.round(bytes),
    ...costs,
    expire: each(spent),
    longestTick: Number(longest.toFixed(1))
  })
)
