/**
 * Exit code and message of an error.
 *
 * @module
 */

import { IpvsSyncError, type ErrorCode } from '../errors.js'

export { fileFault } from '../procfs/file-fault.js'

/** Exit code for wrong usage. */
export const EXIT_USAGE = 2
/** Exit code for failed input or output. */
export const EXIT_IO = 3

const USAGE: readonly ErrorCode[] = ['ERR_CONFIG', 'ERR_USAGE', 'ERR_ENCODE']

/** Returns the exit code of an error: 2 for configuration and usage, else 3. */
export function exitCodeOf(error: unknown): number {
  return error instanceof IpvsSyncError && USAGE.includes(error.code) ? EXIT_USAGE : EXIT_IO
}

/**
 * Returns an error in one line. An error that is neither an `IpvsSyncError` nor a system error is a bug, and is reported as one.
 */
export function explain(error: unknown): string {
  const text = (error instanceof Error ? error.message : String(error)).replace(/\s*\n\s*/g, ' ')
  const isExpected = error instanceof IpvsSyncError || (error as { syscall?: unknown } | null)?.syscall !== undefined
  return isExpected ? text : `internal error: ${text}; please report it with the command line`
}
