/**
 * `decode --follow CLIENT:PORT`: the history of a client's connections, and what a backup holds of each at every moment.
 *
 * @module
 */

import { BackupEngine } from '../../engine/index.js'
import { decodeMessage } from '../../wire/decode-message.js'
import type { Connection } from '../../wire/connection.js'
import type { DecodeOptions } from '../../wire/options.js'
import { endpointText } from '../../wire/terminal-text.js'
import type { CapturedMessage } from './captured-message.js'
import type { Output } from './output.js'
import type { Printer } from './printer.js'
import { wrap, type Style } from './style.js'

/** Connections of one client whose last record is kept for comparison. */
const MOST_KEPT = 1000

/** How the history is printed. */
export interface FollowOptions {
  readonly reading: DecodeOptions
  readonly style: Style
  /** As JSON Lines. */
  readonly isJson: boolean
  /** Width of the terminal. */
  readonly columns: number | undefined
}

/** Prints a line for each record, and one for each expiry on a backup. */
export class FollowPrinter implements Printer {
  readonly #output: Output
  readonly #options: FollowOptions
  readonly #backup: BackupEngine
  readonly #last = new Map<string, Connection>()
  #now = 1

  /** @param output - Receives the text. */
  constructor(output: Output, options: FollowOptions) {
    this.#output = output
    this.#options = options
    this.#backup = new BackupEngine({
      syncid: 0,
      maxConnections: MOST_KEPT,
      ...(options.reading.flagChecks !== undefined && { flagChecks: options.reading.flagChecks })
    })
  }

  message(message: CapturedMessage): void {
    const { records } = message
    const time = String(message.time ?? 'no time')
    this.#expireUntil(message.ms ?? this.#now)
    for (let record = 0; record < records.count; record++) {
      const alone = records.alone(record)
      const [connection] = decodeMessage(alone, this.#options.reading).connections
      this.#record(time, message, alone, plain(connection!))
    }
  }

  /** Announces one record to the backup alone: it holds no other client's connections. */
  #record(time: string, message: CapturedMessage, bytes: Uint8Array, connection: Connection): void {
    const key = keyOf(connection)
    const before = this.#last.get(key)
    if (before !== undefined || this.#last.size < MOST_KEPT) this.#last.set(key, connection)
    this.#backup.handleDatagram(bytes, message.source, this.#now)
    const held = this.#held(key)
    const changed = changesOf(before, connection)
    const { client, virtual, destination, state, flags, timeout, protocol } = connection
    if (this.#options.isJson) {
      const { packet: frame, channel } = message
      this.#line(JSON.stringify({ time, frame, channel, connection, changed, backup: held ?? null }))
      return
    }
    const path = `${endpointText(client)} > ${endpointText(virtual)} > ${endpointText(destination)}`
    const what = [
      state,
      ...(flags.length > 0 ? [flags.join(',')] : []),
      ...(timeout === undefined ? [] : [`timeout ${timeout} s`])
    ]
    const backup =
      held === undefined
        ? 'backup: refused'
        : `backup: ${held.state} to ${endpointText(held.destination)} for ${held.expires} s`
    const sender = `from ${message.sender} channel ${message.channel}`
    this.#line(
      `${this.#options.style.strong(time)}  ${protocol} ${path}  ${what.join('  ')}  ${changed.join(', ')}  ${backup}  ${sender}`
    )
  }

  /** Moves the backup's clock; what expires until then gets a line. */
  #expireUntil(ms: number): void {
    while (this.#backup.nextTimeout() <= ms) {
      this.#now = Math.max(this.#now, this.#backup.nextTimeout())
      const before = [...this.#backup.table]
      this.#backup.handleTimeout(this.#now)
      const after = new Set([...this.#backup.table].map(keyOf))
      for (const connection of before)
        if (!after.has(keyOf(connection))) {
          const time = new Date(this.#now).toISOString()
          if (this.#options.isJson) this.#line(JSON.stringify({ time, connection, changed: ['expired'], backup: null }))
          else {
            const path = `${endpointText(connection.client)} > ${endpointText(connection.virtual)}`
            this.#line(this.#options.style.doubtful(`${time}  ${connection.protocol} ${path}  expired on the backup`))
          }
        }
    }
    this.#now = Math.max(this.#now, ms)
  }

  #held(key: string): (Connection & { readonly expires?: number }) | undefined {
    for (const connection of this.#backup.table) if (keyOf(connection) === key) return connection
    return undefined
  }

  #line(text: string): void {
    this.#output.write(`${wrap(text, this.#options.columns ?? Infinity)}\n`)
  }
}

function plain(connection: Connection & { toJSON?: () => Connection }): Connection {
  return connection.toJSON?.() ?? connection
}

function keyOf({ protocol, client, virtual, flags, engine }: Connection): string {
  const kind = flags.includes('TEMPLATE') ? 'template' : ''
  return [protocol, kind, endpointText(client), endpointText(virtual), engine?.data ?? ''].join(' ')
}

/** What differs from the record before it. */
function changesOf(before: Connection | undefined, after: Connection): string[] {
  if (before === undefined) return ['new']
  const changes: string[] = []
  if (before.state !== after.state) changes.push(`state was ${before.state}`)
  const moved = endpointText(before.destination) !== endpointText(after.destination)
  if (moved) changes.push(`destination was ${endpointText(before.destination)}`)
  if (before.flags.join() !== after.flags.join()) changes.push(`flags were ${before.flags.join() || 'none'}`)
  return changes.length === 0 ? ['repeated'] : changes
}
