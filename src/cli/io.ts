/**
 * The process as a command sees it: passed in, so that a test can be the process.
 *
 * @module
 */

import type { Readable, Writable } from 'node:stream'

/** A standard output or error. */
export type OutputStream = Writable & {
  /** Whether it is a terminal. */
  readonly isTTY?: boolean
  /** Width of the terminal, in characters. */
  readonly columns?: number
}

/** Streams, environment and signals. */
export interface Io {
  readonly stdin: Readable & { readonly isTTY?: boolean }
  readonly stdout: OutputStream
  readonly stderr: OutputStream
  readonly env: Readonly<Record<string, string | undefined>>
  /** Aborts at SIGINT or SIGTERM. A command that never looks at it dies of them, as programs do. */
  readonly signal: AbortSignal
  /** Calls back at each SIGHUP; the function that it returns ends that. Without it SIGHUP kills. */
  readonly onReload: (callback: () => void) => () => void
}

/** What {@link processIo} needs of a process. */
export type ProcessLike = Pick<NodeJS.Process, 'stdin' | 'stdout' | 'stderr' | 'env'> & {
  on(signal: string, listener: () => void): unknown
  once(signal: string, listener: () => void): unknown
  off(signal: string, listener: () => void): unknown
}

/** The real process. A second SIGINT or SIGTERM kills at once. */
export function processIo(source: ProcessLike = process): Io {
  let signal: AbortSignal | undefined
  return {
    // Looked at only where it is read: opening it costs time, and takes a pipe's blocking mode from whoever shares it.
    get stdin() {
      return source.stdin
    },
    stdout: source.stdout,
    stderr: source.stderr,
    env: source.env,
    get signal() {
      return (signal ??= signalOf(source))
    },
    onReload(callback) {
      source.on('SIGHUP', callback)
      return () => void source.off('SIGHUP', callback)
    }
  }
}

function signalOf(source: ProcessLike): AbortSignal {
  const controller = new AbortController()
  const names = ['SIGINT', 'SIGTERM']
  const abort = (): void => {
    for (const name of names) source.off(name, abort)
    controller.abort()
  }
  for (const name of names) source.once(name, abort)
  return controller.signal
}
