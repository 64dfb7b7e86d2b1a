/**
 * The process as a command sees it: passed in, so that a test can be the process.
 *
 * @module
 */

import type { Readable, Writable } from 'node:stream'
import type { Milliseconds } from '../units.js'

/** A standard output or error. */
export type OutputStream = Writable & {
  /** Whether it is a terminal. */
  readonly isTTY?: boolean
  /** Width of the terminal, in characters. */
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
  /** Aborts at SIGINT or SIGTERM. A command that never looks at it dies of them, as programs do. */
  readonly signal: AbortSignal
  /** Calls back at each SIGHUP; the function that it returns ends that. Without it SIGHUP kills. */
  readonly onReload: (callback: () => void) => () => void
}

/** What {@link processIo} needs of a process. */
export type ProcessLike = Pick<NodeJS.Process, 'stdin' | 'stdout' | 'stderr' | 'env'> & {
  on(signal: string, listener: () => void): unknown
  off(signal: string, listener: () => void): unknown
}

type Later = (callback: () => void, delay: Milliseconds) => void

/** Below npm one Ctrl-C comes twice, from the terminal and from npm, and so does timeout's SIGTERM: within this they are one. */
const SAME_SIGNAL: Milliseconds = 1000

/**
 * The real process. Another SIGINT or SIGTERM a second after the first, or later, kills at once.
 *
 * @param source - The process.
 * @param later - Calls back after a time, and keeps no process alive; a test gives its own.
 */
export function processIo(source: ProcessLike = process, later: Later = laterByItself): Io {
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
      return (signal ??= signalOf(source, later))
    },
    onReload(callback) {
      source.on('SIGHUP', callback)
      return () => void source.off('SIGHUP', callback)
    }
  }
}

function laterByItself(callback: () => void, delay: Milliseconds): void {
  setTimeout(callback, delay).unref()
}

function signalOf(source: ProcessLike, later: Later): AbortSignal {
  const controller = new AbortController()
  const names = ['SIGINT', 'SIGTERM']
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
