/**
 * How a table is made.
 *
 * @module
 */
import { IpvsSyncError } from '../errors.js'

/** How a table is made. */
export interface TableOptions {
  /** The most connections it holds, 1…16,777,215; 1,000,000 unless told otherwise. More are refused and counted. */
  readonly maxConnections?: number
  /** A random 32-bit number that seeds the hash. Leave it out only where nobody hostile can choose the keys. */
  readonly seed?: number
}

const MOST_CONNECTIONS = 0xffffff

/** A ceiling that a table can have; `ERR_CONFIG` otherwise. */
export function demandCeiling(maxConnections: number): number {
  if (Number.isInteger(maxConnections) && maxConnections >= 1 && maxConnections <= MOST_CONNECTIONS)
    return maxConnections
  const message = `maxConnections: expected a whole number from 1 to ${MOST_CONNECTIONS}, got ${maxConnections}`
  throw new IpvsSyncError('ERR_CONFIG', message, { field: 'maxConnections' })
}
