/**
 * What a person or a program tells a master about a connection, and how it becomes a row.
 *
 * @module
 */

import { demandInteger, demandObject, demandOneOf } from '../../demand.js'
import type { Connection, Endpoint, PersistenceEngine } from '../../wire/connection.js'
import { FLAG } from '../../wire/constants.js'
import { stateTimeout } from '../../wire/protocols.js'
import { rowFromConnection } from '../../wire/row-values.js'
import { createRows, ROW, type Rows } from '../../wire/rows.js'

/** What names a template: family and destination do not. */
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

/** A connection as it is after a packet from its client, or at its end. Each one counts as one packet. */
export interface ConnectionChange extends Connection {
  /** The counter of packets from the client, this one included, 0…4294967295; by default one more than before. */
  readonly packets?: number
  /** `packet`, the default, or `expire`: the connection is over. */
  readonly event?: 'packet' | 'expire'
  /** The template that it belongs to. It is in the table already. By default as before. */
  readonly controlledBy?: TemplateKey
}

/** The rows of a change: made once and filled again and again. */
export class ChangeReader {
  /** The connection. */
  static readonly CONNECTION = 0
  /** The template that controls it. */
  static readonly CONTROLLER = 1
  /** Filled by {@link ChangeReader.read}. */
  readonly rows: Rows = createRows(2)

  /**
   * Reads a change into {@link ChangeReader.rows}. A timeout that is 0 or not given becomes the state's own.
   *
   * @throws IpvsSyncError `ERR_ENCODE` or `ERR_USAGE`; `field` names what cannot be understood.
   */
  read(change: ConnectionChange): void {
    const { words } = this.rows
    demandObject('connection', change)
    const { event, packets } = change
    if (event !== undefined) demandOneOf('event', event, ['packet', 'expire'], 'ERR_USAGE')
    if (packets !== undefined) demandInteger('packets', packets, 0, 0xffffffff, 'ERR_USAGE')
    rowFromConnection(change, this.rows, ChangeReader.CONNECTION)
    if (words[ROW.TIMEOUT] === 0) {
      const template = (words[ROW.FLAGS]! & FLAG.TEMPLATE) !== 0
      words[ROW.TIMEOUT] = stateTimeout(words[ROW.PROTOCOL]!, template, words[ROW.STATE]!)
    }
    if (change.controlledBy) this.#readController(change, change.controlledBy)
  }

  #readController({ family }: ConnectionChange, key: TemplateKey): void {
    // The key alone is looked up: the rest is filled in so that it is a connection.
    const rest = { family, destination: key.virtual, forwarding: 'MASQ', flags: ['TEMPLATE'], state: 'NONE' } as const
    rowFromConnection({ ...key, ...rest }, this.rows, ChangeReader.CONTROLLER, 'controlledBy')
  }
}
