/**
 * Bytes to values, by the grammar.
 *
 * @module
 */
import type { DecodedConnection, DecodedMessage } from './connection.js'
import { PARAMETER } from './constants.js'
import {
  PARAMETERS,
  RECORDS_IPV4,
  RECORDS_IPV6,
  RECORDS_V0,
  SEQUENCE,
  type List,
  type ParameterFields
} from './grammar.js'
import type { Problem } from './problems.js'
import { scanMessage } from './scan-message.js'
import type { DecodeOptions } from './options.js'
import type { Run } from './scan-state.js'
import { WireConnection, type AnyRecord, type Parameters } from './wire-connection.js'

/**
 * Decodes a message of either version.
 *
 * Whatever the bytes, none make it throw. `connections` holds what a receiver reads: also those that it skips (a problem of
 * severity `skip` names each), none from the first fault on that drops the rest.
 *
 * @param bytes - One datagram's payload. Not kept: names and data of persistence engines are copied.
 * @param options - Which receiver judges, and the byte order of version 0's sequence data.
 * @returns The message and everything that is wrong with it.
 * @throws {@link IpvsSyncError} `ERR_USAGE` for what is no Uint8Array, and for options that mean nothing.
 * @example
 * ```ts
 * const { version, syncid, connections, problems } = decodeMessage(datagram)
 * for (const { client, virtual, state } of connections) console.log(client.address, virtual.port, state)
 * for (const { code, offset } of problems) console.warn(code, 'at byte', offset)
 * ```
 */
export function decodeMessage(bytes: Uint8Array, options: DecodeOptions = {}): DecodedMessage {
  const { header, runs, problems } = scanMessage(bytes, options)
  const { version, syncid, size } = header ?? noHeader(bytes, options)
  const connections: WireConnection[] = []
  for (const run of runs) readRun(bytes, run, options.sequenceByteOrder ?? 'little', connections)
  // A connection's optional keys are getters that may give undefined, which exactOptionalPropertyTypes tells from absent.
  return {
    version,
    syncid,
    size,
    connections: connections as readonly unknown[] as readonly DecodedConnection[],
    problems
  }
}

/**
 * What is wrong with a message, without its values: for a reader of rows that wants the reasons in words, and the warnings.
 *
 * @param bytes - One datagram's payload.
 * @param options - As `decodeMessage` takes them.
 */
export function problemsOf(bytes: Uint8Array, options: DecodeOptions = {}): readonly Problem[] {
  return scanMessage(bytes, options).problems
}

/** What is known of a message whose header is cut off. */
function noHeader(bytes: Uint8Array, options: DecodeOptions): Pick<DecodedMessage, 'version' | 'syncid' | 'size'> {
  return { version: 0, syncid: bytes[1] ?? 0, size: options.wireLength ?? bytes.length }
}

function readRun(bytes: Uint8Array, run: Run, order: 'little' | 'big', connections: WireConnection[]): void {
  const { kind, from, to } = run
  if (kind === 'v0-sequence') readSequenceRun(bytes, from, to, order, connections)
  else if (kind === 'parameters') connections.push(readWithParameters(bytes, run))
  else {
    const { items } = PLAIN[kind].parse(bytes.subarray(from, to))
    for (const record of items) connections.push(new WireConnection(record))
  }
}

const PLAIN: Readonly<Record<'v0' | 'ipv4' | 'ipv6', { parse(bytes: Uint8Array): List<AnyRecord> }>> = {
  v0: RECORDS_V0,
  ipv4: RECORDS_IPV4,
  ipv6: RECORDS_IPV6
}

const RECORD_V0 = 24
const SEQUENCE_V0 = 24

/** Version 0 records that each have sequence data behind them. */
function readSequenceRun(
  bytes: Uint8Array,
  from: number,
  to: number,
  order: 'little' | 'big',
  connections: WireConnection[]
): void {
  for (let at = from; at < to; at += RECORD_V0 + SEQUENCE_V0) {
    const middle = at + RECORD_V0
    const record = RECORDS_V0.parse(bytes.subarray(at, middle)).items[0]!
    const sequence = SEQUENCE[order].parse(bytes.subarray(middle, middle + SEQUENCE_V0))
    connections.push(new WireConnection(record, { sequence }))
  }
}

/** A version 1 record with parameters, those that a receiver reads. */
function readWithParameters(bytes: Uint8Array, { from, parametersEnd }: Run): WireConnection {
  const [grammar, length] = bytes[from] === 0 ? ([RECORDS_IPV4, 36] as const) : ([RECORDS_IPV6, 72] as const)
  const middle = from + length
  const record = grammar.parse(bytes.subarray(from, middle)).items[0]!
  const { items } = PARAMETERS.parse(bytes.subarray(middle, parametersEnd))
  return new WireConnection(record, parametersOf(items))
}

function parametersOf(items: readonly ParameterFields[]): Parameters {
  const find = (type: number): Uint8Array | undefined =>
    items.find((item) => (item.type & ~PARAMETER.OPTIONAL) === type)?.data.slice()
  const sequence = find(PARAMETER.SEQUENCE)
  return {
    sequence: sequence && SEQUENCE.big.parse(sequence),
    engineName: find(PARAMETER.ENGINE_NAME),
    engineData: find(PARAMETER.ENGINE_DATA)
  }
}
