/**
 * Bytes to values, by the grammar.
 *
 * @module
 */
import type { Connection, DecodedMessage, Endpoint, SequenceAdjustment } from './connection.js'
import { parseParameters, type ParameterValues } from './grammar/parameters.js'
import {
  RECORDS_IPV4,
  RECORDS_IPV6,
  RECORDS_V0,
  SEQUENCE,
  type RecordFields,
  type RecordFieldsIpv6,
  type RecordFieldsV1,
  type SequenceFields
} from './grammar/parsers.js'
import type { Run } from './grammar/scan-state.js'
import { scanMessage } from './grammar/scan.js'
import type { DecodeOptions } from './options.js'
import type { Problem } from './problems.js'
import { formatIpv4, formatIpv6 } from '../addresses.js'
import { FLAG } from './constants.js'
import { flagNames, forwardingName } from './flags.js'
import { protocolName, stateName } from './protocols.js'

/**
 * Decodes a message of either version.
 *
 * It does not throw for any bytes. `connections` holds what a receiver reads: also the connections that it skips (a problem
 * of severity `skip` names each), and none after a problem of severity `drop`.
 *
 * @param bytes - Payload of one datagram. Not kept: names and data of persistence engines are copied.
 * @param options - Generation of the receiver, and the byte order of version 0's sequence data.
 * @returns The message and all its problems: plain objects, frozen with all that they contain.
 * @throws {@link IpvsSyncError} `ERR_USAGE` for bytes that are not a Uint8Array, and for an option that is not accepted.
 * @example
 * ```ts
 * const { version, syncid, connections, problems } = decodeMessage(datagram)
 * for (const { client, virtual, state } of connections) console.log(client.address, virtual.port, state)
 * for (const { code, offset } of problems) console.warn(code, 'at byte', offset)
 * ```
 */
export function decodeMessage(bytes: Uint8Array, options: DecodeOptions = {}): DecodedMessage {
  const { header, runs, problems } = scanMessage(bytes, options)
  const { version, syncid, size } = header ?? {
    version: 0,
    syncid: bytes[1] ?? 0,
    size: options.wireLength ?? bytes.length
  }
  const connections: Connection[] = []
  for (const run of runs) readRun(bytes, run, options.sequenceByteOrder ?? 'little', connections)
  for (const problem of problems) Object.freeze(problem)
  return Object.freeze({
    version,
    syncid,
    size,
    connections: Object.freeze(connections),
    problems: Object.freeze(problems)
  })
}

/**
 * Returns the problems of a message without its values: for a reader of rows that needs texts and warnings.
 *
 * @param bytes - Payload of one datagram.
 * @param options - As for `decodeMessage`.
 */
export function problemsOf(bytes: Uint8Array, options: DecodeOptions = {}): readonly Problem[] {
  return scanMessage(bytes, options).problems
}

const RECORD_V0 = 24
const SEQUENCE_V0 = 24
const RECORD_IPV4 = 36
const RECORD_IPV6 = 72

function readRun(bytes: Uint8Array, run: Run, order: 'little' | 'big', connections: Connection[]): void {
  const { kind, from, to, parametersEnd } = run
  switch (kind) {
    case 'v0':
      for (const record of RECORDS_V0.parse(bytes.subarray(from, to)).items) connections.push(valueV0(record))
      return
    case 'v0-sequence':
      for (let at = from; at < to; at += RECORD_V0 + SEQUENCE_V0) {
        const middle = at + RECORD_V0
        const record = RECORDS_V0.parse(bytes.subarray(at, middle)).items[0]!
        connections.push(valueV0(record, SEQUENCE[order].parse(bytes.subarray(middle, middle + SEQUENCE_V0))))
      }
      return
    case 'ipv4':
      for (const record of RECORDS_IPV4.parse(bytes.subarray(from, to)).items) connections.push(valueIpv4(record))
      return
    case 'ipv6':
      for (const record of RECORDS_IPV6.parse(bytes.subarray(from, to)).items) connections.push(valueIpv6(record))
      return
    case 'parameters': {
      const isIpv4 = bytes[from] === 0
      const middle = from + (isIpv4 ? RECORD_IPV4 : RECORD_IPV6)
      const fixed = bytes.subarray(from, middle)
      const parameters = parseParameters(bytes.subarray(middle, parametersEnd))
      connections.push(
        isIpv4
          ? valueIpv4(RECORDS_IPV4.parse(fixed).items[0]!, parameters)
          : valueIpv6(RECORDS_IPV6.parse(fixed).items[0]!, parameters)
      )
    }
  }
}

/** Makes the value of a version 0 record. */
function valueV0(record: RecordFields, sequence?: SequenceFields): Connection {
  const { protocol, client, virtual, destination, flags, state } = record
  const value = {
    family: 'ipv4',
    protocol: protocolName(protocol),
    client: Object.freeze({ address: formatIpv4(client), port: record.clientPort }),
    virtual: sharedEndpoint(virtual, record.virtualPort),
    destination: sharedEndpoint(destination, record.destinationPort),
    forwarding: forwardingName(flags),
    flags: flagNames(flags),
    state: stateName(protocol, (flags & FLAG.TEMPLATE) !== 0, state)
  } as const
  return Object.freeze(sequence === undefined ? value : { ...value, ...adjustments(sequence) })
}

/** Makes the value of a version 1 IPv4 record. */
function valueIpv4(record: RecordFieldsV1, parameters?: ParameterValues): Connection {
  const { protocol, client, virtual, destination, flags, state } = record
  const value = {
    family: 'ipv4',
    protocol: protocolName(protocol),
    client: Object.freeze({ address: formatIpv4(client), port: record.clientPort }),
    virtual: sharedEndpoint(virtual, record.virtualPort),
    destination: sharedEndpoint(destination, record.destinationPort),
    forwarding: forwardingName(flags),
    flags: flagNames(flags),
    state: stateName(protocol, (flags & FLAG.TEMPLATE) !== 0, state),
    fwmark: record.fwmark >>> 0,
    timeout: record.timeout >>> 0
  } as const
  return Object.freeze(parameters === undefined ? value : withParameters(value, parameters))
}

/** Makes the value of a version 1 IPv6 record. */
function valueIpv6(record: RecordFieldsIpv6, parameters?: ParameterValues): Connection {
  const { protocol, flags, state } = record
  const { client, client1, client2, client3, virtual, virtual1, virtual2, virtual3 } = record
  const { destination, destination1, destination2, destination3 } = record
  const value = {
    family: 'ipv6',
    protocol: protocolName(protocol),
    client: endpointIpv6([client, client1, client2, client3], record.clientPort),
    virtual: endpointIpv6([virtual, virtual1, virtual2, virtual3], record.virtualPort),
    destination: endpointIpv6([destination, destination1, destination2, destination3], record.destinationPort),
    forwarding: forwardingName(flags),
    flags: flagNames(flags),
    state: stateName(protocol, (flags & FLAG.TEMPLATE) !== 0, state),
    fwmark: record.fwmark >>> 0,
    timeout: record.timeout >>> 0
  } as const
  return Object.freeze(parameters === undefined ? value : withParameters(value, parameters))
}

function withParameters(value: Connection, { sequence, engine }: ParameterValues): Connection {
  return {
    ...value,
    ...(sequence !== undefined && adjustments(sequence)),
    ...(engine !== undefined && { engine: Object.freeze(engine) })
  }
}

function adjustments(sequence: SequenceFields): {
  readonly inSequence: SequenceAdjustment
  readonly outSequence: SequenceAdjustment
} {
  const { inInitial, inDelta, inPreviousDelta, outInitial, outDelta, outPreviousDelta } = sequence
  return {
    inSequence: Object.freeze({ initial: inInitial, delta: inDelta, previousDelta: inPreviousDelta }),
    outSequence: Object.freeze({ initial: outInitial, delta: outDelta, previousDelta: outPreviousDelta })
  }
}

function endpointIpv6(words: readonly number[], port: number): Endpoint {
  return Object.freeze({ address: formatIpv6(words), port })
}

/** Services and real servers are few and are in every record: one frozen value of each is shared. */
const SHARED = 1024
const sharedWords = new Int32Array(SHARED)
const shared = new Array<Endpoint | undefined>(SHARED).fill(undefined)

function sharedEndpoint(word: number, port: number): Endpoint {
  const place = Math.imul(word ^ port, 0x9e3779b1) >>> 22
  const found = shared[place]
  if (found !== undefined && sharedWords[place] === word && found.port === port) return found
  const made = Object.freeze({ address: formatIpv4(word), port })
  sharedWords[place] = word
  shared[place] = made
  return made
}
