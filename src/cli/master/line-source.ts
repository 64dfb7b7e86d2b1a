/**
 * `--source stdin`: connections as JSON Lines, one packet from a client each.
 *
 * @module
 */

import type { Readable } from 'node:stream'
import { IpvsSyncError } from '../../errors.js'
import type { ConnectionChange } from '../../engine/master/connection-change.js'
import { LONGEST_LINE, readLines } from '../../procfs/lines.js'
import type { Tell } from '../service.js'
import { whenThereIsRoom, type Pressed } from './flow.js'

/** Where the connections go. */
export interface ChangeTaker extends Pressed {
  /** Throws an IpvsSyncError for what it cannot understand. */
  handleConnection(change: ConnectionChange): unknown
}

/** How to read. */
export interface LineSourceOptions {
  /** End at the first line that is wrong; by default it is reported and skipped. */
  readonly strict: boolean
  /** Ends the reading. */
  readonly signal: AbortSignal
  /** Says what is wrong with a line. */
  readonly tell: Tell
}

/** Lines between two looks at the queues. */
const LINES_A_LOOK = 64

/**
 * Reads to the end of the input, or until the signal is aborted.
 *
 * @returns Number of lines that were refused.
 * @throws IpvsSyncError `ERR_USAGE` for a wrong line in strict mode, `ERR_IO` for an input that cannot be read.
 */
export async function followLines(input: Readable, master: ChangeTaker, options: LineSourceOptions): Promise<number> {
  let number = 0
  let refused = 0
  for await (const line of linesUntil(input, options.signal)) {
    number++
    if (line.trim() !== '' && !take(line, number, master, options)) refused++
    if (number % LINES_A_LOOK === 0) await whenThereIsRoom(master, options.signal)
  }
  return refused
}

/** Returns whether the line was accepted. */
function take(line: string, number: number, master: ChangeTaker, { strict, tell }: LineSourceOptions): boolean {
  try {
    master.handleConnection(parseChange(line))
    return true
  } catch (error) {
    if (!(error instanceof IpvsSyncError)) throw error
    const message = `standard input, line ${number}: ${error.message}`
    if (strict) throw new IpvsSyncError('ERR_USAGE', message, { cause: error })
    tell(message, 'LINE_REFUSED')
    return false
  }
}

/** What the value means is the engine's to judge. */
function parseChange(line: string): ConnectionChange {
  if (line.length > LONGEST_LINE)
    throw new IpvsSyncError('ERR_USAGE', `line longer than ${LONGEST_LINE} bytes: not a connection`)
  const value = parseJson(line)
  if (typeof value === 'object' && value !== null) return value as ConnectionChange
  throw new IpvsSyncError('ERR_USAGE', 'expected a JSON object')
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch (cause) {
    throw new IpvsSyncError('ERR_USAGE', `not JSON: ${(cause as Error).message}`, { cause })
  }
}

/** An input that is waited for ends when it is destroyed; that is no error if it was told to end. */
async function* linesUntil(input: Readable, signal: AbortSignal): AsyncGenerator<string, void, undefined> {
  const end = (): void => void input.destroy()
  signal.addEventListener('abort', end, { once: true })
  try {
    if (!signal.aborted) yield* readLines(input, 'cut')
  } catch (cause) {
    if (signal.aborted) return
    throw new IpvsSyncError('ERR_IO', `standard input: ${(cause as Error).message}`, { cause })
  } finally {
    signal.removeEventListener('abort', end)
  }
}
