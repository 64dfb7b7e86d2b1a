/**
 * The kernel's table of connections, streaming.
 *
 * @module
 */

import { connectionParser, type ConnectionParser, type ProcConnection } from './connection-line.js'

/** The table with persistence engines, of the process's own network namespace. */
export const CONNECTIONS_FILE = '/proc/net/ip_vs_conn'

/**
 * Reads a table.
 *
 * @param lines - Its lines, header first.
 * @param onDamaged - Told of lines that cannot be read, by number from 1; the table goes on.
 * @throws IpvsSyncError `ERR_IO` while iterating, where the first line is no header of such a table.
 * @example
 * for await (const connection of readConnections(readProcLines(CONNECTIONS_FILE), report)) count(connection.state)
 */
export async function* readConnections(
  lines: AsyncIterable<string>,
  onDamaged: (line: number) => void
): AsyncGenerator<ProcConnection, void, undefined> {
  let parse: ConnectionParser | undefined
  let number = 0
  for await (const line of lines) {
    number++
    if (line.trim() === '') continue
    if (parse === undefined) {
      parse = connectionParser(line)
      continue
    }
    const connection = parse(line)
    if (connection === undefined) onDamaged(number)
    else yield connection
  }
}
