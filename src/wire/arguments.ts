/**
 * What a caller hands in by mistake, told at once and by name. Bytes of a message are never refused here.
 *
 * @module
 */
import { IpvsSyncError } from '../errors.js'
import type { DecodeOptions } from './scan-state.js'

/**
 * Refuses what is no datagram, and options that mean nothing.
 *
 * @throws IpvsSyncError `ERR_USAGE`; `field` names the argument or option.
 */
export function demandDecodable(bytes: unknown, options: unknown): void {
  if (!(bytes instanceof Uint8Array)) throw misuse('bytes', 'a Uint8Array, one datagram', bytes)
  const { flagChecks, engines, wireLength } = demandOptions(options) as Partial<Record<keyof DecodeOptions, unknown>>
  if (flagChecks !== undefined && flagChecks !== 'strict' && flagChecks !== 'legacy')
    throw misuse('flagChecks', '"strict" or "legacy"', flagChecks)
  if (engines !== undefined && !Array.isArray(engines)) throw misuse('engines', 'a list of names', engines)
  if (wireLength !== undefined && !(Number.isInteger(wireLength) && (wireLength as number) >= 0))
    throw misuse('wireLength', 'a whole number of bytes', wireLength)
}

/**
 * Refuses options that are no object, and a byte order that is none.
 *
 * @throws IpvsSyncError `ERR_USAGE`; `field` names the option.
 */
export function demandOptions(options: unknown): object {
  if (typeof options !== 'object' || options === null) throw misuse('options', 'an object', options)
  const { sequenceByteOrder: order } = options as { sequenceByteOrder?: unknown }
  if (order !== undefined && order !== 'little' && order !== 'big')
    throw misuse('sequenceByteOrder', '"little" or "big"', order)
  return options
}

/**
 * Refuses what is no message: what its version, syncid and connections are is looked at where they are written.
 *
 * @throws IpvsSyncError `ERR_ENCODE`; `field` is `message` or `connections`.
 */
export function demandMessage(message: unknown): void {
  if (typeof message !== 'object' || message === null) throw unencodable('message', 'an object', message)
  const { connections } = message as { connections?: unknown }
  if (!Array.isArray(connections)) throw unencodable('connections', 'a list', connections)
}

function misuse(field: string, expected: string, value: unknown): IpvsSyncError {
  return new IpvsSyncError('ERR_USAGE', `${field}: expected ${expected}, got ${found(value)}`, { field })
}

function unencodable(field: string, expected: string, value: unknown): IpvsSyncError {
  return new IpvsSyncError('ERR_ENCODE', `${field}: expected ${expected}, got ${found(value)}`, { field })
}

function found(value: unknown): string {
  return value === undefined ? 'nothing' : JSON.stringify(value)
}
