/**
 * Options and arguments of a table.
 *
 * @module
 */
import { demandInteger, demandObject } from '../demand.js'
import type { Endpoint, PersistenceEngine } from '../wire/connection.js'
import { FLAG } from '../wire/constants.js'
import { stateTimeout } from '../wire/protocols.js'
import { rowFromConnection } from '../wire/row-values.js'
import { ROW, ROW_WORDS, type Rows } from '../wire/rows.js'

const MAX_CONNECTIONS = 0xffffff

/** Options of a table. */
export interface TableOptions {
  /** Maximum number of connections, 1…16,777,215; 1,000,000 by default. Further ones are refused and counted. */
  readonly maxConnections?: number
  /** Makes the hash reproducible: for tests and simulations. Without it the key of the hash is random, so that nobody can choose colliding keys. */
  readonly seed?: number
}

/** The key of a connection or template. A `Connection` is one. */
export interface ConnectionKey {
  /** By default that of the client's address. */
  readonly family?: 'ipv4' | 'ipv6'
  /** As in a `Connection`. */
  readonly protocol: string
  /** The client; port 0 for a template. */
  readonly client: Endpoint
  /** The virtual service. */
  readonly virtual: Endpoint
  /** Only `TEMPLATE` and `NO_CPORT` matter: they are part of the key. */
  readonly flags?: readonly string[]
  /** Part of a template's key, where the template has it. */
  readonly engine?: PersistenceEngine
}

/** Options of `ConnectionTable.walk`. */
export interface WalkOptions {
  /** Maximum number of entries that are read for one slice, at least 1. 1024 by default. */
  readonly limit?: number
  /** Only templates (true) or only connections (false); both by default. */
  readonly templates?: boolean
}

/** Outcome of a `ConnectionTable.upsert`. */
export type UpsertOutcome = 'created' | 'updated' | 'replaced' | 'refused'

/**
 * Writes a key into row 0; the rest of the row makes it a connection that can be encoded.
 *
 * @throws IpvsSyncError `ERR_ENCODE` or `ERR_USAGE`; `field` names the part that cannot be read.
 */
export function rowFromKey(key: ConnectionKey, rows: Rows): void {
  demandObject('key', key)
  const { protocol, client, virtual, flags = [], engine } = key
  const family = key.family ?? (String((client as Endpoint | undefined)?.address).includes(':') ? 'ipv6' : 'ipv4')
  const rest = { family, destination: virtual, forwarding: 'MASQ', state: '0' } as const
  rowFromConnection({ protocol, client, virtual, flags, ...rest, ...(engine && { engine }) }, rows, 0, 'key')
}

/** Sets a row's timeout to that of its state where it is 0. */
export function fillTimeout(rows: Rows, index: number): void {
  const { words } = rows
  const from = index * ROW_WORDS
  if (words[from + ROW.TIMEOUT] !== 0) return
  const template = (words[from + ROW.FLAGS]! & FLAG.TEMPLATE) !== 0
  words[from + ROW.TIMEOUT] = stateTimeout(words[from + ROW.PROTOCOL]!, template, words[from + ROW.STATE]!)
}

/** Returns a table's limit; throws `ERR_CONFIG` if it is not an integer from 1 to 16,777,215. */
export function demandLimit(maxConnections: number): number {
  demandInteger('maxConnections', maxConnections, 1, MAX_CONNECTIONS)
  return maxConnections
}
