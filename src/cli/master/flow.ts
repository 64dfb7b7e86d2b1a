/**
 * Keeps a source from running ahead of the network.
 *
 * @module
 */

import { setImmediate, setTimeout } from 'node:timers/promises'
import type { Milliseconds } from '../../units.js'

/** Who says how full its queues are. */
export interface Pressed {
  /** 0 for empty queues, 1 for full ones. */
  readonly pressure: number
}

const LOOK: Milliseconds = 5

/** Gives the network a turn, and waits while the queues are more than half full: here nothing has to be lost. */
export async function whenThereIsRoom(master: Pressed, signal: AbortSignal): Promise<void> {
  await setImmediate()
  while (master.pressure > 0.5 && !signal.aborted) await pause(LOOK, signal)
}

/** Waits, or until the signal is aborted. */
export async function pause(time: Milliseconds, signal: AbortSignal): Promise<void> {
  // Being aborted is no error here: the caller checks the signal.
  await setTimeout(time, undefined, { signal }).catch(() => undefined)
}
