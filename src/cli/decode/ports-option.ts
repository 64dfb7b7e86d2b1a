/**
 * `--ports`: a list of ports and ranges.
 *
 * @module
 */

import { IpvsSyncError } from '../../errors.js'

/** Ports from the first to the last. */
export type Range = readonly [first: number, last: number]

/** Ports of all channels that a kernel can have: `sync_ports` is 64 at most. */
export const DEFAULT_PORTS = '8848-8911'

/**
 * Reads `8848-8911`, `9000`, `8848,9000-9003`.
 *
 * @throws {IpvsSyncError} `ERR_CONFIG` where it is anything else.
 */
export function parsePorts(text: string): Range[] {
  return text.split(',').map((part) => {
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part.trim())
    const first = Number(match?.[1])
    const last = match?.[2] === undefined ? first : Number(match[2])
    // Nothing compares with NaN, so what did not match ends here too.
    if (first <= last && last <= 65_535) return [first, last] as const
    const message = `--ports: expected ports and ranges like 8848-8911 or 8848,9000, got "${part}"`
    throw new IpvsSyncError('ERR_CONFIG', message, { field: 'ports' })
  })
}

/** Number of the channel that uses a wanted port: counted from the first port of its range. */
export function channelOf(ports: readonly Range[], port: number): number {
  const range = ports.find(([first, last]) => first <= port && port <= last)
  return range === undefined ? 0 : port - range[0]
}

/** The ports as `8848-8911,9000`. */
export function portsText(ports: readonly Range[]): string {
  return ports.map(([first, last]) => (first === last ? String(first) : `${first}-${last}`)).join(',')
}
