import { kernelAddress, type KernelRow } from './kernel-table.js'
import type { Player } from './traffic.js'

/**
 * The kinds of traffic that left no trace in a kernel backup's table, each as a line. Two tables that lack the same kind are
 * equal, and prove nothing about it: a service that the kernel refused, a module that is not there.
 *
 * @param rows - The backup's `ip_vs_conn`, engines included.
 * @param players - What was played; each kind has its own client address.
 * @param version - IPv6, and engine data, do not travel in version 0.
 */
export function unseenKinds(rows: readonly KernelRow[], players: readonly Player[], version: 0 | 1): string[] {
  const expected = players.filter(
    ({ client, kind }) => kind.onePacket !== true && (version === 1 || client.length === 4)
  )
  const kinds = [...new Set(expected.map(({ kind }) => kind))]
  return kinds.flatMap((kind) => {
    const clients = expected
      .filter((player) => player.kind === kind)
      .map(({ client }) => kernelAddress(Uint8Array.from(client)))
    const own = rows.filter(({ client }) => clients.includes(client))
    return [
      ...(own.some((row) => isConnectionOf(row, kind)) ? [] : [`no connection of ${kind.name}`]),
      ...(kind.persistence === undefined || own.some(({ clientPort }) => clientPort === 0)
        ? []
        : [`no template of ${kind.name}`]),
      ...(kind.payload === undefined || version === 0 || own.some(({ engine }) => engine.startsWith('sip call-'))
        ? []
        : [`no engine data of ${kind.name}`])
    ]
  })
}

function isConnectionOf(row: KernelRow, kind: Player['kind']): boolean {
  return (
    row.clientPort !== 0 &&
    row.protocol === kind.protocol &&
    row.virtual === kernelAddress(Uint8Array.from(kind.virtual)) &&
    row.virtualPort === kind.port &&
    row.destination === kernelAddress(Uint8Array.from(kind.destination))
  )
}
