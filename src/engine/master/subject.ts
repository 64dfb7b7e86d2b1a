/**
 * What a master's decision reads of an entry.
 *
 * @module
 */
import type { EntryDescription } from '../../table/entry-fields.js'
import type { Milliseconds } from '../../units.js'
import { stateTimeout } from '../../wire/protocols.js'
import { ROW } from '../../wire/rows.js'

// Names of this module's own: V8 folds these constants, and reads those of another module anew at each use.
const { DESTINATION: ROW_DESTINATION, FAMILY: ROW_FAMILY } = ROW

/** What a decision reads, made once and filled again and again. */
export interface MasterSubject extends EntryDescription {
  /** Whether it stands under a template, directly or by others. */
  underTemplate: boolean
}

/** The timeout of a new state, else as it was. */
export function timeoutIn(
  { protocol, template, state: before, timeoutMs }: EntryDescription,
  state: number
): Milliseconds {
  return before === state ? timeoutMs : stateTimeout(protocol, template, state) * 1000
}

/** A subject to be filled. */
export function blankSubject(): MasterSubject {
  return {
    protocol: 0,
    template: false,
    onePacket: false,
    underTemplate: false,
    state: 0,
    lastSyncedState: 0,
    timeoutMs: 0,
    endTimeMs: 0,
    retriesUsed: 0,
    packets: 0
  }
}

/** Whether the real server of an entry's row is known: its address is not the unspecified one. */
export function hasDestination(words: Int32Array): boolean {
  const end = ROW_DESTINATION + (words[ROW_FAMILY] === 6 ? 4 : 1)
  for (let at = ROW_DESTINATION; at < end; at++) if (words[at] !== 0) return true
  return false
}
