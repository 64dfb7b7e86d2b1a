/**
 * Which ports are wanted.
 *
 * @module
 */

import { IpvsSyncError } from '../errors.js'
import type { ReadCaptureOptions } from './items.js'

/**
 * Makes a predicate of a list of ports and ranges: one look-up, however long the list.
 *
 * @throws {IpvsSyncError} `ERR_CONFIG` when a port is not an integer from 0 to 65,535, or a range ends before it starts.
 */
export function portMatcher(ports: ReadCaptureOptions['ports']): (port: number) => boolean {
  if (typeof ports === 'function') return ports
  if (ports === undefined) return () => true
  const wanted = new Uint8Array(65_536)
  for (const range of ports) {
    const [first, last] = typeof range === 'number' ? [range, range] : range
    if (!isPort(first) || !isPort(last) || last < first) {
      const text = typeof range === 'number' ? String(range) : `${first}-${last}`
      throw new IpvsSyncError(
        'ERR_CONFIG',
        `ports: ${text} is not a port or range of ports: want 0…65535, the lower first`,
        {
          field: 'ports'
        }
      )
    }
    wanted.fill(1, first, last + 1)
  }
  return (port) => wanted[port] === 1
}

function isPort(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 65_535
}
