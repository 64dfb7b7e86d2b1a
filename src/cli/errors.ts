/**
 * What an error means for a command: its exit code, and one line for a person.
 *
 * @module
 */

import { IpvsSyncError, type ErrorCode } from '../errors.js'

export { fileFault } from '../procfs/file-fault.js'

/** Exit code for what was typed wrongly. */
export const EXIT_USAGE = 2
/** Exit code for what could not be read, written or sent. */
export const EXIT_IO = 3

const USAGE: readonly ErrorCode[] = ['ERR_CONFIG', 'ERR_USAGE', 'ERR_ENCODE']

/** The exit code of an error: 2 for configuration and usage, else 3. */
export function exitCodeOf(error: unknown): number {
  return error instanceof IpvsSyncError && USAGE.includes(error.code) ? EXIT_USAGE : EXIT_IO
}

/**
 * An error in one line. What is not ours and not the system's is a mistake in this program, and says so.
 *
 * @param error - Anything that was thrown.
 */
export function explain(error: unknown): string {
  const text = (error instanceof Error ? error.message : String(error)).replace(/\s*\n\s*/g, ' ')
  const isExpected = error instanceof IpvsSyncError || (error as { syscall?: unknown } | null)?.syscall !== undefined
  return isExpected ? text : `internal error: ${text}; please report it with the command that you typed`
}
