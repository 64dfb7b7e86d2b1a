/**
 * Bytes to values, by the grammar.
 *
 * @module
 */
import type { Connection, DecodedMessage } from './connection.js'
import { parseParameters } from './grammar/parameters.js'
import { RECORDS_IPV4, RECORDS_IPV6, RECORDS_V0, SEQUENCE } from './grammar/parsers.js'
import type { Run } from './grammar/scan-state.js'
import { scanMessage } from './grammar/scan.js'
import { valueIpv4, valueIpv6, valueV0 } from './grammar/values.js'
import type { DecodeOptions } from './options.js'
import type { Problem } from './problems.js'

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
