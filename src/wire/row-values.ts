/**
 * A connection between its two forms: the value that people and JSON see, and the row that hot paths work on.
 *
 * @module
 */
import { formatIpv4, formatIpv6, parseAddress } from '../addresses.js'
import { IpvsSyncError } from '../errors.js'
import { demandConnectionShape } from './connection-shape.js'
import type { Connection, Endpoint, PersistenceEngine, SequenceAdjustment } from './connection.js'
import { FLAG } from './constants.js'
import { flagBits, flagNames, forwardingName, forwardingNumber } from './flags.js'
import { fromHex, fromText, toHex, toText } from './hex.js'
import { protocolName, protocolNumber, stateName, stateNumber } from './protocols.js'
import { PRESENT, ROW, ROW_WORDS, type EngineBytes, type Rows } from './rows.js'

/** A value that is still being made. */
export type Mutable<Value> = { -readonly [Key in keyof Value]: Value[Key] }

/**
 * Reads a row as a value.
 *
 * @param rows - Holds it.
 * @param index - Its number.
 * @param version - A message's version 0 has neither fwmark nor timeout; a table's connections have both.
 */
export function connectionFromRow(rows: Rows, index: number, version: 0 | 1 = 1): Connection {
  const { words } = rows
  const from = index * ROW_WORDS
  const flags = words[from + ROW.FLAGS]!
  const protocol = words[from + ROW.PROTOCOL]!
  const present = words[from + ROW.PRESENT]!
  const value: Mutable<Connection> = {
    family: words[from + ROW.FAMILY] === 6 ? 'ipv6' : 'ipv4',
    protocol: protocolName(protocol),
    client: endpoint(words, from, ROW.CLIENT, ROW.CLIENT_PORT),
    virtual: endpoint(words, from, ROW.VIRTUAL, ROW.VIRTUAL_PORT),
    destination: endpoint(words, from, ROW.DESTINATION, ROW.DESTINATION_PORT),
    forwarding: forwardingName(flags),
    flags: flagNames(flags),
    state: stateName(protocol, (flags & FLAG.TEMPLATE) !== 0, words[from + ROW.STATE]!)
  }
  // Set one by one: objects spread into another would cost more than all the rest.
  if (version === 1) {
    value.fwmark = words[from + ROW.FWMARK]! >>> 0
    value.timeout = words[from + ROW.TIMEOUT]! >>> 0
  }
  if ((present & PRESENT.SEQUENCE) !== 0) {
    value.inSequence = adjustment(words, from + ROW.SEQUENCE)
    value.outSequence = adjustment(words, from + ROW.SEQUENCE + 3)
  }
  if ((present & PRESENT.ENGINE) !== 0) value.engine = engineValue(rows.engines[index]!)
  return value
}

/**
 * Writes a value into a row. `OFFSET` and `VERDICT` are set to 0.
 *
 * @param connection - The value; what it lacks (fwmark, timeout, the other direction's sequence data) is 0.
 * @param rows - Where it goes; `count` is left alone.
 * @param index - The row's number.
 * @param path - How the caller names the connection, for the error's `field`: `connections[3]`.
 * @throws IpvsSyncError `ERR_ENCODE` where a field cannot be understood or does not fit; `field` names it.
 */
export function rowFromConnection(connection: Connection, rows: Rows, index: number, path = 'connection'): void {
  demandConnectionShape(connection, path)
  const { words } = rows
  const to = index * ROW_WORDS
  const family = familyOf(connection, path)
  const protocol = named(protocolNumber(connection.protocol), `${path}.protocol`, connection.protocol)
  const method = named(forwardingNumber(connection.forwarding), `${path}.forwarding`, connection.forwarding)
  const flags = named(flagBits(connection.flags), `${path}.flags`, connection.flags.join(' '))
  const template = (flags & FLAG.TEMPLATE) !== 0
  words[to + ROW.FAMILY] = family
  words[to + ROW.PROTOCOL] = protocol
  words[to + ROW.FLAGS] = (flags & ~FLAG.FORWARDING) | method
  words[to + ROW.STATE] = named(stateNumber(protocol, template, connection.state), `${path}.state`, connection.state)
  words[to + ROW.FWMARK] = unsigned(connection.fwmark ?? 0, `${path}.fwmark`)
  words[to + ROW.TIMEOUT] = unsigned(connection.timeout ?? 0, `${path}.timeout`)
  words[to + ROW.PRESENT] = 0
  words[to + ROW.OFFSET] = 0
  words[to + ROW.VERDICT] = 0
  putEndpoint(words, to, ROW.CLIENT, ROW.CLIENT_PORT, connection.client, family, `${path}.client`)
  putEndpoint(words, to, ROW.VIRTUAL, ROW.VIRTUAL_PORT, connection.virtual, family, `${path}.virtual`)
  putEndpoint(words, to, ROW.DESTINATION, ROW.DESTINATION_PORT, connection.destination, family, `${path}.destination`)
  putSequence(connection, words, to, path)
  putEngine(connection.engine, rows, index, path)
}

function endpoint(words: Int32Array, from: number, address: number, port: number): Endpoint {
  const at = from + address
  return {
    address: words[from + ROW.FAMILY] === 6 ? formatIpv6(words, at) : formatIpv4(words[at]!),
    port: words[from + port]!
  }
}

function adjustment(words: Int32Array, at: number): SequenceAdjustment {
  return { initial: words[at]! >>> 0, delta: words[at + 1]! >>> 0, previousDelta: words[at + 2]! >>> 0 }
}

function engineValue({ name, data }: EngineBytes): PersistenceEngine {
  return { name: toText(name), data: toHex(data) }
}

function familyOf({ family }: Connection, path: string): 4 | 6 {
  if (family === 'ipv6') return 6
  if ((family as string) === 'ipv4') return 4
  throw wrong(`${path}.family`, `expected "ipv4" or "ipv6", got ${JSON.stringify(family)}`)
}

function putEndpoint(
  words: Int32Array,
  to: number,
  address: number,
  port: number,
  value: Endpoint,
  family: 4 | 6,
  path: string
): void {
  const found = parseAddress(value.address, words, to + address)
  if (found !== family)
    throw wrong(`${path}.address`, `expected an IPv${family} address, got ${JSON.stringify(value.address)}`)
  if (!Number.isInteger(value.port) || value.port < 0 || value.port > 65535)
    throw wrong(`${path}.port`, `expected a port from 0 to 65535, got ${String(value.port)}`)
  words[to + port] = value.port
}

function putSequence(connection: Connection, words: Int32Array, to: number, path: string): void {
  const { inSequence, outSequence } = connection
  if (inSequence === undefined && outSequence === undefined) return
  words[to + ROW.PRESENT]! |= PRESENT.SEQUENCE
  putAdjustment(inSequence, words, to + ROW.SEQUENCE, `${path}.inSequence`)
  putAdjustment(outSequence, words, to + ROW.SEQUENCE + 3, `${path}.outSequence`)
}

function putAdjustment(value: SequenceAdjustment | undefined, words: Int32Array, at: number, path: string): void {
  words[at] = unsigned(value?.initial ?? 0, `${path}.initial`)
  words[at + 1] = unsigned(value?.delta ?? 0, `${path}.delta`)
  words[at + 2] = unsigned(value?.previousDelta ?? 0, `${path}.previousDelta`)
}

function putEngine(engine: PersistenceEngine | undefined, rows: Rows, index: number, path: string): void {
  if (engine === undefined) return
  const name = fromText(engine.name)
  if (name === undefined || name.length > 16)
    throw wrong(`${path}.engine.name`, `expected a name of at most 16 bytes, got ${JSON.stringify(engine.name)}`)
  const data = fromHex(engine.data)
  if (data === undefined || data.length > 255)
    throw wrong(`${path}.engine.data`, `expected at most 255 bytes in hex, got ${JSON.stringify(engine.data)}`)
  rows.words[index * ROW_WORDS + ROW.PRESENT]! |= PRESENT.ENGINE
  rows.engines[index] = { name, data }
}

function named(number: number | undefined, field: string, text: string): number {
  if (number === undefined) throw wrong(field, `${JSON.stringify(text)} is neither a known name nor a number that fits`)
  return number
}

/** A 32-bit unsigned number as the word that holds it. */
function unsigned(value: number, field: string): number {
  if (!Number.isInteger(value) || value < 0 || value > 0xffffffff)
    throw wrong(field, `expected a whole number from 0 to 4294967295, got ${String(value)}`)
  return value | 0
}

function wrong(field: string, message: string): IpvsSyncError {
  return new IpvsSyncError('ERR_ENCODE', `${field}: ${message}`, { field })
}
