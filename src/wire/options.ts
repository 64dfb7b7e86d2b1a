/**
 * Options of the readers and writers, and the checks of what a caller passes. Bytes of a message are never refused here.
 *
 * @module
 */
import {
  demandArray,
  demandInteger,
  demandKnownOptions,
  demandObject,
  demandOneOf,
  misuse,
  type OptionNames
} from '../demand.js'
import { FLAG_CHECKS, type FlagChecks } from './constants.js'

/** How a message is read. */
export interface ReadOptions {
  /** Generation of the receiver whose checks apply; `strict` by default. */
  readonly flagChecks?: FlagChecks
  /** Byte order of version 0's sequence data, which a kernel writes in its own order; `little` by default. */
  readonly sequenceByteOrder?: 'little' | 'big'
  /** Names of the persistence engines that the receiver knows; `sip` by default. */
  readonly engines?: readonly string[]
}

/** How a message is decoded. */
export interface DecodeOptions extends ReadOptions {
  /**
   * Length of the datagram on the wire, in bytes, where a capture kept only its beginning. The records that are complete are
   * decoded, and the problem `MESSAGE_SNAPPED` reports that there were more.
   */
  readonly wireLength?: number
}

/** How a message is written. */
export interface EncodeOptions {
  /** Byte order of version 0's sequence data, which a kernel writes in its own order; `little` by default. */
  readonly sequenceByteOrder?: 'little' | 'big'
  /** Names of the persistence engines that receivers know; `sip` by default. */
  readonly engines?: readonly string[]
}

/** Names of the options of a reader. */
export const READ_OPTIONS: OptionNames<ReadOptions> = { flagChecks: true, sequenceByteOrder: true, engines: true }
/** Names of the options of {@link DecodeOptions}. */
export const DECODE_OPTIONS: OptionNames<DecodeOptions> = { ...READ_OPTIONS, wireLength: true }
/** Names of the options of a writer. */
export const ENCODE_OPTIONS: OptionNames<EncodeOptions> = { sequenceByteOrder: true, engines: true }

const BYTE_ORDERS = ['little', 'big'] as const

/**
 * Refuses bytes that are not a Uint8Array, and options with a value that is not accepted.
 *
 * @throws IpvsSyncError `ERR_USAGE`; `field` names the argument or option.
 */
export function demandDecodable(bytes: unknown, options: DecodeOptions): void {
  if (!(bytes instanceof Uint8Array)) throw misuse('bytes', 'a Uint8Array that holds one datagram', bytes)
  demandKnownOptions(options, DECODE_OPTIONS, 'ERR_USAGE')
  demandReadOptions(options)
  const { wireLength } = options
  if (wireLength !== undefined) demandInteger('wireLength', wireLength, 0, Number.MAX_SAFE_INTEGER, 'ERR_USAGE')
}

/**
 * Refuses options of a reader or writer with a value that is not accepted.
 *
 * @throws IpvsSyncError `ERR_USAGE`; `field` names the option.
 */
export function demandReadOptions(options: unknown): void {
  const { flagChecks, sequenceByteOrder, engines } = demandObject('options', options)
  if (flagChecks !== undefined) demandOneOf('flagChecks', flagChecks, FLAG_CHECKS, 'ERR_USAGE')
  if (sequenceByteOrder !== undefined) demandOneOf('sequenceByteOrder', sequenceByteOrder, BYTE_ORDERS, 'ERR_USAGE')
  if (engines !== undefined) demandArray('engines', engines, 'an array of names', 'ERR_USAGE')
}

/**
 * Refuses a message that is not an object or has no array of connections; its other fields are checked where they are
 * written.
 *
 * @throws IpvsSyncError `ERR_ENCODE`; `field` is `message` or `connections`.
 */
export function demandMessage(message: unknown): void {
  const { connections } = demandObject('message', message, 'ERR_ENCODE')
  demandArray('connections', connections, 'an array', 'ERR_ENCODE')
}
