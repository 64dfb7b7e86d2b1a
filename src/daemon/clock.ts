/**
 * The clock that drives an engine: monotonic, and replaceable, so that a test can move time by hand.
 *
 * @module
 */

import { performance } from 'node:perf_hooks'
import type { Milliseconds, TimestampMs } from '../units.js'

/** A clock with timers. */
export interface Clock {
  /** Whole milliseconds; above 0, and never going back. All engines that share a table share a clock. */
  now(): TimestampMs
  /** Calls back once after a time; the function that it returns prevents it. */
  after(delay: Milliseconds, callback: () => void): () => void
}

/** `performance.now()` counts from the start of a thread, `process.hrtime` from the same moment in every thread. */
const ORIGIN: Milliseconds = Number(process.hrtime.bigint() / 1000n) / 1000 - performance.now()

/** The system's monotonic clock: all threads of a process read the same time, and setting the wall clock does not change it. */
export const systemClock: Clock = {
  now: () => Math.floor(ORIGIN + performance.now()) + 1,
  after(delay, callback) {
    let immediate: NodeJS.Immediate | undefined
    // After a turn that took long, timers fire before sockets are read: what waits there is received first, so that nobody
    // who spoke in time is taken for silent.
    const timer = setTimeout(() => (immediate = setImmediate(callback)), delay)
    return () => {
      clearTimeout(timer)
      clearImmediate(immediate)
    }
  }
}
