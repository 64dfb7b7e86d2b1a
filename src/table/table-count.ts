/**
 * What a table counts of itself.
 *
 * @module
 */

/** How many connections there are of a protocol and an origin. */
export interface TableCount {
  readonly protocol: number
  readonly origin: 'LOCAL' | 'SYNC'
  readonly connections: number
}
