/**
 * A connection between its two forms: the value that people and JSON see, and the row that hot paths work on.
 *
 * @module
 */
import { formatIpv4, formatIpv6, parseAddress } from '../addresses.js'
import {
  demandArray,
  demandInteger,
  demandObject,
  demandOneOf,
  demandText,
  joinAlternatives,
  suggest,
  wrongText
} from '../demand.js'
import type { Connection, Endpoint, PersistenceEngine, SequenceAdjustment } from './connection.js'
import { FLAG, MAX_ENGINE_DATA, MAX_ENGINE_NAME } from './constants.js'
import { FLAG_NAME_LIST, flagBits, flagNames, FORWARDING_NAMES, forwardingName, forwardingNumber } from './flags.js'
import { fromHex, fromText, toHex, toText } from './hex.js'
import { PROTOCOL_NAMES, protocolName, protocolNumber, stateName, stateNames, stateNumber } from './protocols.js'
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
 * @param connection - Value of any shape: what is wrong with it is refused. A missing fwmark, timeout or sequence
 *   adjustment is 0.
 * @param rows - Receives the row; `count` is not changed.
 * @param index - Number of the row.
 * @param path - Name of the connection in the error's `field`: `connections[3]`.
 * @throws IpvsSyncError `ERR_ENCODE`, whose `field` names what is missing, unknown or out of range.
 */
export function rowFromConnection(connection: Connection, rows: Rows, index: number, path = 'connection'): void {
  demandObject(path, connection, 'ERR_ENCODE')
  const { words } = rows
  const to = index * ROW_WORDS
  const family = familyOf(connection.family, `${path}.family`)
  const protocol = protocolOf(connection.protocol, `${path}.protocol`)
  const flags = flagsOf(connection.flags, `${path}.flags`)
  const method = forwardingOf(connection.forwarding, `${path}.forwarding`)
  words[to + ROW.FAMILY] = family
  words[to + ROW.PROTOCOL] = protocol
  words[to + ROW.FLAGS] = (flags & ~FLAG.FORWARDING) | method
  words[to + ROW.STATE] = stateOf(connection.state, protocol, (flags & FLAG.TEMPLATE) !== 0, `${path}.state`)
  words[to + ROW.FWMARK] = unsigned(connection.fwmark ?? 0, `${path}.fwmark`)
  words[to + ROW.TIMEOUT] = unsigned(connection.timeout ?? 0, `${path}.timeout`)
  words[to + ROW.PRESENT] = 0
  words[to + ROW.OFFSET] = 0
  words[to + ROW.VERDICT] = 0
  putEndpoint(words, to, ROW.CLIENT, ROW.CLIENT_PORT, connection.client, family, `${path}.client`)
  putEndpoint(words, to, ROW.VIRTUAL, ROW.VIRTUAL_PORT, connection.virtual, family, `${path}.virtual`)
  putEndpoint(words, to, ROW.DESTINATION, ROW.DESTINATION_PORT, connection.destination, family, `${path}.destination`)
  putSequence(connection, words, to, path)
  putEngine(connection.engine, rows, index, `${path}.engine`)
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

function familyOf(family: unknown, field: string): 4 | 6 {
  demandOneOf(field, family, ['ipv4', 'ipv6'], 'ERR_ENCODE')
  return family === 'ipv6' ? 6 : 4
}

function protocolOf(name: unknown, field: string): number {
  demandText(field, name, 'ERR_ENCODE')
  return protocolNumber(name) ?? refuseName(field, name, PROTOCOL_NAMES, '0…255')
}

function forwardingOf(name: unknown, field: string): number {
  demandText(field, name, 'ERR_ENCODE')
  return forwardingNumber(name) ?? refuseName(field, name, FORWARDING_NAMES, '0…7')
}

function stateOf(name: unknown, protocol: number, template: boolean, field: string): number {
  demandText(field, name, 'ERR_ENCODE')
  return stateNumber(protocol, template, name) ?? refuseName(field, name, stateNames(protocol, template), '0…65535')
}

function flagsOf(names: unknown, field: string): number {
  demandArray(field, names, 'an array of names', 'ERR_ENCODE')
  let flags = 0
  for (const name of names) {
    demandText(field, name, 'ERR_ENCODE')
    flags |= flagBits([name]) ?? refuseName(field, name, FLAG_NAME_LIST, 'a number such as 0x4000')
  }
  return flags
}

/** Refuses a name, and lists those that are accepted. */
function refuseName(field: string, name: string, names: readonly string[], numbers: string): never {
  throw wrongText(field, joinAlternatives([...names, numbers]), name, 'ERR_ENCODE', suggest(name, names))
}

function putEndpoint(
  words: Int32Array,
  to: number,
  address: number,
  port: number,
  value: Endpoint,
  family: 4 | 6,
  field: string
): void {
  demandObject(field, value, 'ERR_ENCODE')
  demandText(`${field}.address`, value.address, 'ERR_ENCODE')
  if (parseAddress(value.address, words, to + address) !== family)
    throw wrongText(`${field}.address`, `an IPv${family} address`, value.address, 'ERR_ENCODE')
  demandInteger(`${field}.port`, value.port, 0, 65535, 'ERR_ENCODE')
  words[to + port] = value.port
}

function putSequence(connection: Connection, words: Int32Array, to: number, path: string): void {
  const { inSequence, outSequence } = connection
  if (inSequence === undefined && outSequence === undefined) return
  words[to + ROW.PRESENT]! |= PRESENT.SEQUENCE
  putAdjustment(inSequence, words, to + ROW.SEQUENCE, `${path}.inSequence`)
  putAdjustment(outSequence, words, to + ROW.SEQUENCE + 3, `${path}.outSequence`)
}

function putAdjustment(value: Partial<SequenceAdjustment> = {}, words: Int32Array, at: number, field: string): void {
  demandObject(field, value, 'ERR_ENCODE')
  words[at] = unsigned(value.initial ?? 0, `${field}.initial`)
  words[at + 1] = unsigned(value.delta ?? 0, `${field}.delta`)
  words[at + 2] = unsigned(value.previousDelta ?? 0, `${field}.previousDelta`)
}

function putEngine(engine: PersistenceEngine | undefined, rows: Rows, index: number, field: string): void {
  if (engine === undefined) return
  demandObject(field, engine, 'ERR_ENCODE')
  demandText(`${field}.name`, engine.name, 'ERR_ENCODE')
  demandText(`${field}.data`, engine.data, 'ERR_ENCODE')
  const name = fromText(engine.name)
  const data = fromHex(engine.data)
  if (name === undefined || name.length > MAX_ENGINE_NAME)
    throw wrongText(`${field}.name`, `at most ${MAX_ENGINE_NAME} bytes of Latin-1`, engine.name, 'ERR_ENCODE')
  if (data === undefined || data.length > MAX_ENGINE_DATA)
    throw wrongText(`${field}.data`, `at most ${MAX_ENGINE_DATA} bytes in hex`, engine.data, 'ERR_ENCODE')
  rows.words[index * ROW_WORDS + ROW.PRESENT]! |= PRESENT.ENGINE
  rows.engines[index] = { name, data }
}

/** Returns the word that holds a 32-bit unsigned number. */
function unsigned(value: unknown, field: string): number {
  demandInteger(field, value, 0, 0xffffffff, 'ERR_ENCODE')
  return value | 0
}
