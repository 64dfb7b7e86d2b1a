/**
 * What a caller hands in by mistake, told at once and by name.
 *
 * @module
 */

import { IpvsSyncError } from './errors.js'

/** A value for a person, whatever it is: as JSON where that can be. */
export function shown(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value === 'number') return String(value)
  if (typeof value === 'function' || typeof value === 'symbol') return `a ${typeof value}`
  return JSON.stringify(value)
}

/**
 * Refuses what is no object.
 *
 * @param name - What its caller knows it as: `options`.
 * @throws IpvsSyncError `ERR_USAGE`, with the name as its `field`.
 */
export function demandObject(name: string, value: unknown): void {
  if (typeof value === 'object' && value !== null) return
  throw misuse(name, 'an object', value)
}

/**
 * Refuses what is neither left out nor text.
 *
 * @throws IpvsSyncError `ERR_CONFIG`, with the name as its `field`.
 */
export function demandText(name: string, value: unknown): void {
  if (value === undefined || typeof value === 'string') return
  throw new IpvsSyncError('ERR_CONFIG', `${name}: expected text, got ${shown(value)}`, { field: name })
}

/** The error for an argument of the wrong kind: `ERR_USAGE`. */
export function misuse(field: string, expected: string, value: unknown): IpvsSyncError {
  return new IpvsSyncError('ERR_USAGE', `${field}: expected ${expected}, got ${shown(value)}`, { field })
}
