/**
 * Version 0 record: offsets, and how it is written (docs/protocol.md section 3).
 *
 * @module
 */
import { FLAG } from './constants.js'
import { writeSequence } from './parameters.js'
import { PRESENT, ROW } from './rows.js'

/** Version 0's record (`struct ip_vs_sync_conn_v0`); sequence data follows where either sequence flag is set. */
export const RECORD_V0 = {
  RESERVED: 0,
  PROTOCOL: 1,
  CLIENT_PORT: 2,
  VIRTUAL_PORT: 4,
  DESTINATION_PORT: 6,
  CLIENT: 8,
  VIRTUAL: 12,
  DESTINATION: 16,
  FLAGS: 20,
  STATE: 22,
  LENGTH: 24,
  LENGTH_WITH_SEQUENCE: 48
} as const

// Constants of this module: V8 folds them, and reads properties of an object in another chunk at each use.
const {
  CLIENT: ROW_CLIENT,
  CLIENT_PORT: ROW_CLIENT_PORT,
  DESTINATION: ROW_DESTINATION,
  DESTINATION_PORT: ROW_DESTINATION_PORT,
  FLAGS: ROW_FLAGS,
  PRESENT: ROW_PRESENT,
  PROTOCOL: ROW_PROTOCOL,
  STATE: ROW_STATE,
  VIRTUAL: ROW_VIRTUAL,
  VIRTUAL_PORT: ROW_VIRTUAL_PORT
} = ROW
const {
  CLIENT: V0_CLIENT,
  CLIENT_PORT: V0_CLIENT_PORT,
  DESTINATION: V0_DESTINATION,
  DESTINATION_PORT: V0_DESTINATION_PORT,
  FLAGS: V0_FLAGS,
  LENGTH: V0_LENGTH,
  LENGTH_WITH_SEQUENCE: V0_LENGTH_WITH_SEQUENCE,
  PROTOCOL: V0_PROTOCOL,
  RESERVED: V0_RESERVED,
  STATE: V0_STATE,
  VIRTUAL: V0_VIRTUAL,
  VIRTUAL_PORT: V0_VIRTUAL_PORT
} = RECORD_V0
const { SEQUENCE: PRESENT_SEQUENCE } = PRESENT
const { HASHED: FLAG_HASHED, SEQUENCE: FLAG_SEQUENCE } = FLAG
/** Returns the length of a record with these flags. */
export function lengthV0(flags: number): number {
  return (flags & FLAG_SEQUENCE) === 0 ? V0_LENGTH : V0_LENGTH_WITH_SEQUENCE
}

/** Returns the flags that version 0 sends: 16 bits, without HASHED. */
export function sentFlagsV0(flags: number): number {
  return flags & 0xffff & ~FLAG_HASHED
}

/** Writes the record of the row whose words begin at `from`. */
export function writeRecordV0(
  data: DataView,
  at: number,
  words: Int32Array,
  from: number,
  littleEndian: boolean
): void {
  const flags = sentFlagsV0(words[from + ROW_FLAGS]!)
  data.setUint8(at + V0_RESERVED, 0)
  data.setUint8(at + V0_PROTOCOL, words[from + ROW_PROTOCOL]!)
  data.setUint16(at + V0_CLIENT_PORT, words[from + ROW_CLIENT_PORT]!)
  data.setUint16(at + V0_VIRTUAL_PORT, words[from + ROW_VIRTUAL_PORT]!)
  data.setUint16(at + V0_DESTINATION_PORT, words[from + ROW_DESTINATION_PORT]!)
  data.setInt32(at + V0_CLIENT, words[from + ROW_CLIENT]!)
  data.setInt32(at + V0_VIRTUAL, words[from + ROW_VIRTUAL]!)
  data.setInt32(at + V0_DESTINATION, words[from + ROW_DESTINATION]!)
  data.setUint16(at + V0_FLAGS, flags)
  data.setUint16(at + V0_STATE, words[from + ROW_STATE]!)
  if ((flags & FLAG_SEQUENCE) === 0) return
  // The flags alone decide about the room. A row without data may hold those of an earlier row: zeros are written then.
  const hasData = (words[from + ROW_PRESENT]! & PRESENT_SEQUENCE) !== 0
  for (let i = 0; i < 6; i++) if (!hasData) data.setInt32(at + V0_LENGTH + 4 * i, 0)
  if (hasData) writeSequence(data, at + V0_LENGTH, words, from, littleEndian)
}
