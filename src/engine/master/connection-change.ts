/**
 * The input of a master as a value, and its conversion to a row.
 *
 * @module
 */

import { demandInteger, demandObject, demandOneOf } from '../../demand.js'
import { fillTimeout } from '../../table/table-options.js'
import type { Connection, Endpoint, PersistenceEngine } from '../../wire/connection.js'
import { rowFromConnection } from '../../wire/row-values.js'
import { createRows, type Rows } from '../../wire/rows.js'

/** The key of a template: family and destination are not part of it. */
export interface TemplateKey {
  /** As in {@link Connection}; `IP` for a firewall mark's template. */
  readonly protocol: string
  /** The client's address or network, and port 0. */
  readonly client: Endpoint
  /** The virtual service; port 0 where it is persistent over all ports. */
  readonly virtual: Endpoint
  /** Only where the template has it. */
  readonly engine?: PersistenceEngine
}

/** A connection after a packet from its client, or at its end. Each one counts as one packet. */
export interface ConnectionChange extends Connection {
  /** The counter of packets from the client, this one included, 0…4294967295; by default one more than before. */
  readonly packets?: number
  /** `packet`, the default, or `expire`: the connection has ended. */
  readonly event?: 'packet' | 'expire'
  /** The template that it belongs to, which must be in the table. By default unchanged. */
  readonly controlledBy?: TemplateKey
}

/** Converts changes to rows; the rows are reused. */
export class ChangeReader {
  /** Row of the connection. */
  static readonly CONNECTION = 0
  /** Row of the template that controls it. */
  static readonly CONTROLLER = 1
  /** Filled by {@link ChangeReader.read}. */
  readonly rows: Rows = createRows(2)

  /**
   * Reads a change into {@link ChangeReader.rows}. A timeout that is 0 or absent becomes that of the state.
   *
   * @throws IpvsSyncError `ERR_ENCODE` or `ERR_USAGE`; `field` names what cannot be read.
   */
  read(change: ConnectionChange): void {
    demandObject('connection', change)
    const { event, packets } = change
    if (event !== undefined) demandOneOf('event', event, ['packet', 'expire'], 'ERR_USAGE')
    if (packets !== undefined) demandInteger('packets', packets, 0, 0xffffffff, 'ERR_USAGE')
    rowFromConnection(change, this.rows, ChangeReader.CONNECTION)
    fillTimeout(this.rows, ChangeReader.CONNECTION)
    if (change.controlledBy) {
      const { family } = change
      const key = change.controlledBy
      // Only the key is searched; the rest makes it a connection that can be encoded.
      const rest = { family, destination: key.virtual, forwarding: 'MASQ', flags: ['TEMPLATE'], state: 'NONE' } as const
      rowFromConnection({ ...key, ...rest }, this.rows, ChangeReader.CONTROLLER, 'controlledBy')
    }
  }
}
