/**
 * The process, passed in so that a test can replace it.
 *
 * @module
 */

import type { Readable, Writable } from 'node:stream'
import type { Milliseconds } from '../units.js'

/** Standard output or standard error. */
export type OutputStream = Writable & {
  /** Whether it is a terminal. */
  readonly isTTY?: boolean
  /** Width of the terminal in characters. */
  readonly columns?: number
  /** Height of the terminal, in lines. */
  readonly rows?: number
}

/** Streams, environment and signals. */
export interface Io {
  readonly stdin: Readable & { readonly isTTY?: boolean }
  readonly stdout: OutputStream
  readonly stderr: OutputStream
  readonly env: Readonly<Record<string, string | undefined>>
  /** Aborts at SIGINT or SIGTERM. If a command never reads it, the signals end the process as usual. */
  readonly signal: AbortSignal
  /** Calls back at each SIGHUP until the returned function is called. Without a listener SIGHUP ends the process. */
  readonly onReload: (callback: () => void) => () => void
}

/** Part of the process that {@link processIo} uses. */
export type ProcessLike = Pick<NodeJS.Process, 'stdin' | 'stdout' | 'stderr' | 'env'> & {
  on(signal: string, listener: () => void): unknown
  off(signal: string, listener: () => void): unknown
}

type Later = (callback: () => void, delay: Milliseconds) => void

/** Environment variable of a child with an IPC channel: the end of its parent counts as SIGTERM. */
export const ENDS_WITH_PARENT = 'IPVS_SYNC_ENDS_WITH_PARENT'

/** Under npm one Ctrl-C arrives twice, from the terminal and from npm, and so does the SIGTERM of timeout(1): within this time they count as one. */
const SAME_SIGNAL: Milliseconds = 1000

/**
 * Returns the real process. A SIGINT or SIGTERM that arrives 1 s after the first or later ends it at once.
 *
 * @param source - The process.
 * @param later - Calls back after a delay without keeping the process alive.
 */
export function processIo(source: ProcessLike = process, later: Later = afterUnref): Io {
  let signal: AbortSignal | undefined
  return {
    // Opened only when it is read: opening costs time, and changes the blocking mode of a pipe that others share.
    get stdin() {
      return source.stdin
    },
    stdout: source.stdout,
    stderr: source.stderr,
    env: source.env,
    get signal() {
      return (signal ??= signalOf(source, later))
    },
    onReload(callback) {
      source.on('SIGHUP', callback)
      return () => void source.off('SIGHUP', callback)
    }
  }
}

function afterUnref(callback: () => void, delay: Milliseconds): void {
  setTimeout(callback, delay).unref()
}

function signalOf(source: ProcessLike, later: Later): AbortSignal {
  const controller = new AbortController()
  // Node emits `disconnect` when the parent of a child with an IPC channel ends, however it ends.
  const names = ['SIGINT', 'SIGTERM', ...(source.env[ENDS_WITH_PARENT] === undefined ? [] : ['disconnect'])]
  const release = (): void => {
    for (const name of names) source.off(name, abort)
  }
  const abort = (): void => {
    if (!controller.signal.aborted) later(release, SAME_SIGNAL)
    controller.abort()
  }
  for (const name of names) source.on(name, abort)
  return controller.signal
}
