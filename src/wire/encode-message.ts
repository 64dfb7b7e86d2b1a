/**
 * Values to bytes.
 *
 * @module
 */
import { IpvsSyncError } from '../errors.js'
import { demandInteger, misuse, demandKnownOptions, type OptionNames } from '../demand.js'
import { demandMessage, demandReadOptions, ENCODE_OPTIONS, type EncodeOptions } from './options.js'
import type { Connection, SyncMessage } from './connection.js'
import { checksOf, DEFAULT_MAXLEN_IPV4, FLAG, KNOWN_ENGINES, MAX_CONNECTIONS, MAX_PAYLOAD } from './constants.js'
import { judge } from './judge.js'
import { MessageWriter } from './message-writer.js'
import { PROBLEMS } from './problems.js'
import { stateCount } from './protocols.js'
import { rowFromConnection } from './row-values.js'
import { createRows, PRESENT, ROW, type Rows } from './rows.js'

/** Options of {@link encodeMessages}. */
export interface SplitOptions extends EncodeOptions {
  /** `sync_maxlen`: maximum bytes per message, 1472 by default. A longer record is sent alone in a message. */
  readonly maxLength?: number
}

/**
 * Encodes one message. What a kernel's receiver would refuse is not written.
 *
 * Version 0 has no room for fwmark and timeout, and they are left out; HASHED is never sent and is left out too.
 *
 * @param message - Version, syncid, and 255 connections at most.
 * @param options - The byte order of version 0's sequence data.
 * @returns The datagram's payload.
 * @throws {@link IpvsSyncError} `ERR_ENCODE` for what no receiver would accept or its field cannot hold; `field` names
 *   it: `connections[3].state`. `ERR_USAGE` for options that mean nothing.
 * @example
 * ```ts
 * const bytes = encodeMessage({
 *   version: 1,
 *   syncid: 7,
 *   connections: [
 *     {
 *       family: 'ipv4',
 *       protocol: 'TCP',
 *       client: { address: '192.0.2.1', port: 40000 },
 *       virtual: { address: '10.0.0.1', port: 80 },
 *       destination: { address: '10.0.1.1', port: 8080 },
 *       forwarding: 'MASQ',
 *       flags: [],
 *       state: 'ESTABLISHED',
 *       timeout: 900
 *     }
 *   ]
 * })
 * ```
 */
export function encodeMessage(message: SyncMessage, options: EncodeOptions = {}): Uint8Array {
  demandMessage(message)
  demandKnownOptions(options, ENCODE_OPTIONS, 'ERR_USAGE')
  demandReadOptions(options)
  const { connections } = message
  if (connections.length > MAX_CONNECTIONS)
    throw wrong('connections', `${connections.length} do not fit a message, whose count has 8 bits: use encodeMessages`)
  const [bytes, second] = [...encode(message, options, MAX_PAYLOAD)]
  if (second !== undefined) throw wrong('connections', `they do not fit ${MAX_PAYLOAD} bytes: use encodeMessages`)
  return bytes!.slice()
}

/**
 * Encodes any number of connections into as many messages as they need: each has 255 connections and `maxLength` bytes
 * at most.
 *
 * @param message - Version, syncid and the connections.
 * @param options - The length, and the byte order of version 0's sequence data.
 * @returns The datagrams' payloads, at least one.
 * @throws {@link IpvsSyncError} `ERR_ENCODE` as `encodeMessage`.
 */
export function encodeMessages(message: SyncMessage, options: SplitOptions = {}): readonly Uint8Array[] {
  demandMessage(message)
  demandKnownOptions(options, SPLIT_OPTIONS, 'ERR_USAGE')
  demandReadOptions(options)
  const { maxLength = DEFAULT_MAXLEN_IPV4 } = options
  demandInteger('maxLength', maxLength, 1, MAX_PAYLOAD, 'ERR_USAGE')
  return Array.from(encode(message, options, maxLength), (bytes) => bytes.slice())
}

const SPLIT_OPTIONS: OptionNames<SplitOptions> = { ...ENCODE_OPTIONS, maxLength: true }

/** Shared by all calls: a call takes what it finished before it returns. */
const WRITERS = { little: new MessageWriter('little'), big: new MessageWriter('big') } as const

function* encode(message: SyncMessage, options: EncodeOptions, maxLength: number): Generator<Uint8Array> {
  const { version, syncid, connections } = message
  checkHeader(version, syncid)
  const writer = WRITERS[options.sequenceByteOrder ?? 'little']
  const rows = createRows(1)
  writer.begin(version, syncid, maxLength)
  for (const [i, connection] of connections.entries()) {
    const path = `connections[${i}]`
    rowFromConnection(connection, rows, 0, path)
    check(rows, version, options.engines ?? KNOWN_ENGINES, path, connection)
    if (writer.add(rows, 0)) continue
    yield writer.finish()
    writer.begin(version, syncid, maxLength)
    writer.add(rows, 0)
  }
  yield writer.finish()
}

function checkHeader(version: number, syncid: number): void {
  if (version !== 0 && version !== 1) throw misuse('version', '0 or 1', version, 'ERR_ENCODE')
  demandInteger('syncid', syncid, 0, 255, 'ERR_ENCODE')
}

/** What a receiver would skip, and what version 0 cannot say. */
function check(rows: Rows, version: 0 | 1, engines: readonly string[], path: string, connection: Connection): void {
  const { words } = rows
  const flags = words[ROW.FLAGS]!
  const protocol = words[ROW.PROTOCOL]!
  const fault = judge(flags, protocol, words[ROW.STATE]!, checksOf('strict'))
  if (fault === PROBLEMS.FLAGS_REFUSED.number)
    throw wrong(`${path}.flags`, 'receivers refuse ONE_PACKET, and TEMPLATE with NO_CPORT')
  if (fault === PROBLEMS.PROTOCOL_UNKNOWN.number)
    throw wrong(`${path}.protocol`, `receivers know TCP, UDP, SCTP, AH and ESP, not ${connection.protocol}`)
  if (fault !== 0) {
    const states = (flags & FLAG.TEMPLATE) !== 0 ? 2 : stateCount(protocol)
    throw wrong(`${path}.state`, `expected a state from 0 to ${states - 1}, got ${connection.state}`)
  }
  if (version === 0) checkV0(words, path)
  else checkEngine(connection, engines, path)
}

function checkV0(words: Int32Array, path: string): void {
  const flags = words[ROW.FLAGS]!
  const present = words[ROW.PRESENT]!
  const hasSequence = (present & PRESENT.SEQUENCE) !== 0
  if (words[ROW.FAMILY] === 6) throw wrong(`${path}.family`, 'version 0 has IPv4 only')
  if (flags >>> 16 !== 0) throw wrong(`${path}.flags`, 'version 0 has 16 bits for flags')
  if ((present & PRESENT.ENGINE) !== 0) throw wrong(`${path}.engine`, 'version 0 has no persistence-engine data')
  if (hasSequence !== ((flags & FLAG.SEQUENCE) !== 0))
    throw wrong(`${path}.flags`, 'version 0 has sequence data exactly where IN_SEQ or OUT_SEQ is set')
}

function checkEngine({ engine }: Connection, engines: readonly string[], path: string): void {
  if (engine === undefined || engine.data === '') return
  const [name = ''] = engine.name.split('\0')
  if (!engines.includes(name))
    throw wrong(
      `${path}.engine.name`,
      `expected one that receivers know (${engines.join(', ')}), got ${JSON.stringify(name)}`
    )
}

function wrong(field: string, message: string): IpvsSyncError {
  return new IpvsSyncError('ERR_ENCODE', `${field}: ${message}`, { field })
}
