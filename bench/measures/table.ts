/**
 * Nanoseconds to bring one connection of a filled table up to date from datagrams, in random order: `engine` (the backup
 * as it is), `lru-cache` (with ttl) and `map`, both of objects, fed by the same reader. What is written for each record is
 * a new object of 12 fields, as a decoder gives it; with `-in-place`, an object that is there is changed instead.
 */
import { BackupEngine } from 'ipvs-sync/engine'
import { LRUCache } from 'lru-cache'
import { MessageReader, ROW, ROW_WORDS } from 'ipvs-sync/wire'
import { makeMessages, PER_MESSAGE, shuffled } from '../input.js'
import { given, print, processorTime } from './timing.js'

const { variant, seconds, connections } = given()
const FROM = { address: '192.0.2.1', port: 8848 }
const messages = makeMessages(connections, shuffled(connections))

interface Kept {
  protocol: number
  client: number
  clientPort: number
  virtual: number
  virtualPort: number
  destination: number
  destinationPort: number
  flags: number
  state: number
  fwmark: number
  timeout: number
  deadline: number
}

type Apply = (message: Uint8Array, now: number) => void

function engine(): Apply {
  const backup = new BackupEngine({ syncid: 7, maxConnections: Math.max(connections, 1_000_000) })
  return (message, now) => {
    backup.handleDatagram(message, FROM, now)
  }
}

interface Objects {
  get(key: string): Kept | undefined
  set(key: string, kept: Kept): unknown
}

/** A key of 14 bytes as text, and an object of what a connection is: what one would write without this library. */
function objects(table: Objects): Apply {
  const reader = new MessageReader()
  return (message, now) => {
    const { words } = reader.rows
    reader.read(message)
    const { count } = reader.rows
    for (let i = 0; i < count; i++) table.set(keyOf(words, i * ROW_WORDS), objectOf(words, i * ROW_WORDS, now))
  }
}

/** The same, but that an object is made only where there is none. */
function inPlace(table: Objects): Apply {
  const reader = new MessageReader()
  return (message, now) => {
    const { words } = reader.rows
    reader.read(message)
    const { count } = reader.rows
    for (let i = 0; i < count; i++) {
      const at = i * ROW_WORDS
      const key = keyOf(words, at)
      const kept = table.get(key) ?? objectOf(words, at, now)
      kept.flags = words[at + ROW.FLAGS]!
      kept.state = words[at + ROW.STATE]!
      kept.fwmark = words[at + ROW.FWMARK]!
      kept.timeout = words[at + ROW.TIMEOUT]!
      kept.destination = words[at + ROW.DESTINATION]!
      kept.destinationPort = words[at + ROW.DESTINATION_PORT]!
      kept.deadline = now + kept.timeout * 1000
      table.set(key, kept)
    }
  }
}

function objectOf(words: Int32Array, at: number, now: number): Kept {
  return {
    protocol: words[at + ROW.PROTOCOL]!,
    client: words[at + ROW.CLIENT]!,
    clientPort: words[at + ROW.CLIENT_PORT]!,
    virtual: words[at + ROW.VIRTUAL]!,
    virtualPort: words[at + ROW.VIRTUAL_PORT]!,
    destination: words[at + ROW.DESTINATION]!,
    destinationPort: words[at + ROW.DESTINATION_PORT]!,
    flags: words[at + ROW.FLAGS]!,
    state: words[at + ROW.STATE]!,
    fwmark: words[at + ROW.FWMARK]!,
    timeout: words[at + ROW.TIMEOUT]!,
    deadline: now + words[at + ROW.TIMEOUT]! * 1000
  }
}

function keyOf(words: Int32Array, at: number): string {
  const client = words[at + ROW.CLIENT]!
  const virtual = words[at + ROW.VIRTUAL]!
  return String.fromCharCode(
    client >>> 16,
    client & 0xffff,
    virtual >>> 16,
    virtual & 0xffff,
    words[at + ROW.CLIENT_PORT]!,
    words[at + ROW.VIRTUAL_PORT]!,
    words[at + ROW.PROTOCOL]!
  )
}

function cache(): LRUCache<string, Kept> {
  return new LRUCache<string, Kept>({ max: connections, ttl: 900_000, ttlResolution: 1000 })
}

const variants: Record<string, () => Apply> = {
  engine,
  map: () => objects(new Map<string, Kept>()),
  'map-in-place': () => inPlace(new Map<string, Kept>()),
  'lru-cache': () => objects(cache()),
  'lru-cache-in-place': () => inPlace(cache())
}
const apply = variants[variant]!()
let now = 1_000_000

/** Whole passes over all messages; each pass in slices of time that grow as they do in life. */
function pass(): void {
  for (const message of messages) apply(message, now)
  now += 100
}

pass()
pass()
let passes = 0
const begin = processorTime()
const end = performance.now() + seconds * 1000
for (; passes === 0 || performance.now() < end; passes++) pass()
print(((processorTime() - begin) * 1e6) / (passes * messages.length * PER_MESSAGE))
