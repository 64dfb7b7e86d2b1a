/**
 * What a capture held, in numbers.
 *
 * @module
 */

import { counted } from '../../text.js'
import type { CapturedDatagram, CaptureFinding } from '../../capture/items.js'
import type { DecodedMessage } from '../../wire/connection.js'
import type { Problem } from '../../wire/problems.js'
import type { Style } from './style.js'
import { Tally } from './tally.js'

/** How many values of one kind are printed. */
const SHOWN = 12

/** Counts messages and prints the sums. */
export class Summary {
  #messages = 0
  #connections = 0
  #fragmented = 0
  #problems = 0
  #first: string | undefined
  #last: string | undefined
  readonly #by = {
    version: new Tally(),
    syncid: new Tally(),
    channel: new Tally(),
    sender: new Tally(),
    protocol: new Tally(),
    state: new Tally(),
    problem: new Tally()
  }
  readonly #firstPort: number

  /** @param firstPort - The port of channel 0: the first of the wanted ports. */
  constructor(firstPort: number) {
    this.#firstPort = firstPort
  }

  /** Counts a message with the problems of packet and message. */
  message(datagram: CapturedDatagram, message: DecodedMessage, problems: readonly Problem[]): void {
    const by = this.#by
    const { port } = datagram.destination
    this.#messages += 1
    this.#connections += message.connections.length
    if (datagram.fragments > 1) this.#fragmented += 1
    this.#time(datagram)
    by.version.add(String(message.version))
    by.syncid.add(String(message.syncid))
    by.channel.add(`${port - this.#firstPort} (port ${port})`)
    by.sender.add(datagram.source.address)
    for (const { protocol, state, flags } of message.connections) {
      by.protocol.add(protocol)
      by.state.add(`${flags.includes('TEMPLATE') ? 'template' : protocol} ${state}`)
    }
    for (const problem of problems) this.#problem(problem)
  }

  /** Counts a problem outside of the messages. */
  finding({ problem }: CaptureFinding): void {
    this.#problem(problem)
  }

  /** The summary, line by line. */
  lines(style: Style): string[] {
    const span = this.#first === undefined ? '' : `, ${this.#first} to ${this.#last}`
    const total = `${counted(this.#messages, 'message')}, ${counted(this.#connections, 'connection')}, ${counted(this.#problems, 'problem')}`
    const lines = [style.strong(total) + span]
    for (const [kind, tally] of Object.entries(this.#by)) {
      const values = tally.sorted()
      if (values.length > 0) lines.push(`  ${kind.padEnd(10)}${list(values)}`)
    }
    if (this.#fragmented > 0) {
      lines.push(
        `  ${counted(this.#fragmented, 'message')} came in IP fragments: sync_maxlen of the sender is more than the path's MTU carries`
      )
    }
    return lines
  }

  #time(datagram: CapturedDatagram): void {
    if (datagram.time === undefined) return
    this.#last = datagram.time.toString()
    this.#first ??= this.#last
  }

  #problem({ code, severity }: Problem): void {
    this.#problems += 1
    this.#by.problem.add(`${code} (${severity})`)
  }
}

function list(values: readonly (readonly [string, number])[]): string {
  const shown = values.slice(0, SHOWN).map(([value, number]) => `${value}: ${number}`)
  const left = values.length - shown.length
  return left === 0 ? shown.join(', ') : `${shown.join(', ')}, and ${left} more`
}
