/**
 * A table in the kernel's own form, for the tools that read `/proc/net/ip_vs_conn_sync` (`ip_vs_conn_sync_seq_show`).
 *
 * @module
 */

import { parseAddress } from '../addresses.js'
import type { Endpoint, TableConnection } from '../wire/connection.js'
import { protocolNumber } from '../wire/protocols.js'

/** Header line of the table. */
export const CONN_SYNC_HEADER = 'Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Origin Expires\n'

/** The only protocols that the kernel has a name for. */
const NAMED = ['TCP', 'UDP', 'SCTP', 'ICMP', 'ICMPv6', 'IP']

/** Fields of a connection that a line contains. */
export type ConnSyncFields = Pick<
  TableConnection,
  'protocol' | 'client' | 'virtual' | 'destination' | 'state' | 'origin' | 'expires'
>

/** Yields a table as the kernel prints it, header first: `/connections?format=proc`. */
export function* connSyncLines(connections: Iterable<ConnSyncFields>): Generator<string, void, undefined> {
  yield CONN_SYNC_HEADER
  for (const connection of connections) yield connSyncLine(connection)
}

/** Formats one connection as a line, newline included. */
export function connSyncLine({
  protocol,
  client,
  virtual,
  destination,
  state,
  origin,
  expires
}: ConnSyncFields): string {
  const endpoints = [client, virtual, destination].map(hexEndpoint).join(' ')
  // As the kernel prints a protocol or a state without a name.
  const protocolText = NAMED.includes(protocol) ? protocol : `IP_${protocolNumber(protocol)}`
  const stateText = /^\d/.test(state) ? 'ERR!' : state
  return `${protocolText.padEnd(3)} ${endpoints} ${stateText.padEnd(11)} ${origin.padEnd(6)} ${String(expires).padStart(7)}\n`
}

function hexEndpoint({ address, port }: Endpoint): string {
  const words = new Int32Array(4)
  const family = parseAddress(address, words)
  const digits = [...words].map((word) => (word >>> 0).toString(16).padStart(8, '0'))
  const text = family === 4 ? digits[0]!.toUpperCase() : digits.join('').match(/.{4}/g)!.join(':')
  return `${text} ${port.toString(16).toUpperCase().padStart(4, '0')}`
}
