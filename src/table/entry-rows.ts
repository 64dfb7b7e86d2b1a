/**
 * Copies between entries and rows.
 *
 * @module
 */
import { FLAG } from '../wire/constants.js'
import { ROW, PRESENT, ROW_WORDS, type EngineBytes, type Rows } from '../wire/rows.js'
import { ENTRY, EXTRA } from './entry.js'

// Aliases: V8 folds a module's own constants and reads another module's anew at each use.
const {
  ADDRESSES: ENTRY_ADDRESSES,
  FLAGS_STATE: ENTRY_FLAGS_STATE,
  FWMARK: ENTRY_FWMARK,
  PORTS: ENTRY_PORTS,
  REST: ENTRY_REST,
  SYNCED: ENTRY_SYNCED,
  TIMEOUT: ENTRY_TIMEOUT
} = ENTRY
const {
  CLIENT: ROW_CLIENT,
  CLIENT_PORT: ROW_CLIENT_PORT,
  DESTINATION: ROW_DESTINATION,
  DESTINATION_PORT: ROW_DESTINATION_PORT,
  FAMILY: ROW_FAMILY,
  FLAGS: ROW_FLAGS,
  FWMARK: ROW_FWMARK,
  OFFSET: ROW_OFFSET,
  PRESENT: ROW_PRESENT,
  PROTOCOL: ROW_PROTOCOL,
  STATE: ROW_STATE,
  TIMEOUT: ROW_TIMEOUT,
  VERDICT: ROW_VERDICT,
  VIRTUAL: ROW_VIRTUAL,
  VIRTUAL_PORT: ROW_VIRTUAL_PORT
} = ROW
const { NFCT: EXTRA_NFCT } = EXTRA
const { NFCT: FLAG_NFCT } = FLAG

/** Copies a row's addresses into an entry. For the template of a firewall mark only the mark is stored, as in a kernel. */
export function copyAddresses(chunk: Int32Array, base: number, words: Int32Array, from: number, ipv6: boolean): void {
  const at = base + ENTRY_ADDRESSES
  const length = ipv6 ? 4 : 1
  const fwmark = words[from + ROW_PROTOCOL] === 0
  for (let i = 0; i < length; i++) {
    chunk[at + i] = words[from + ROW_CLIENT + i]!
    chunk[at + length + i] = fwmark && i > 0 ? 0 : words[from + ROW_VIRTUAL + i]!
    chunk[at + 2 * length + i] = words[from + ROW_DESTINATION + i]!
  }
}

/** Copies an entry into a row, without its data in `EntryExtras`. */
export function copyToRow(chunk: Int32Array, base: number, ipv6: boolean, words: Int32Array, to: number): void {
  const rest = chunk[base + ENTRY_REST]!
  const flagsAndState = chunk[base + ENTRY_FLAGS_STATE]!
  const nfct = (chunk[base + ENTRY_SYNCED]! >>> 24) & EXTRA_NFCT ? FLAG_NFCT : 0
  words[to + ROW_FAMILY] = ipv6 ? 6 : 4
  words[to + ROW_PROTOCOL] = (rest >>> 8) & 0xff
  words[to + ROW_FLAGS] = (flagsAndState >>> 16) | nfct
  words[to + ROW_STATE] = flagsAndState & 0xffff
  words[to + ROW_CLIENT_PORT] = chunk[base + ENTRY_PORTS]! >>> 16
  words[to + ROW_VIRTUAL_PORT] = chunk[base + ENTRY_PORTS]! & 0xffff
  words[to + ROW_DESTINATION_PORT] = rest >>> 16
  words[to + ROW_FWMARK] = chunk[base + ENTRY_FWMARK]!
  words[to + ROW_TIMEOUT] = chunk[base + ENTRY_TIMEOUT]!
  words[to + ROW_PRESENT] = 0
  words[to + ROW_OFFSET] = 0
  words[to + ROW_VERDICT] = 0
  const at = base + ENTRY_ADDRESSES
  const length = ipv6 ? 4 : 1
  for (let i = 0; i < length; i++) {
    words[to + ROW_CLIENT + i] = chunk[at + i]!
    words[to + ROW_VIRTUAL + i] = chunk[at + length + i]!
    words[to + ROW_DESTINATION + i] = chunk[at + 2 * length + i]!
  }
}

/** Words of sequence data. */
const SEQUENCE_WORDS = 6

/** Sequence data and persistence-engine data by slot. */
export class EntryExtras {
  readonly #sequences = new Map<number, Int32Array>()
  readonly #engines = new Map<number, EngineBytes>()

  /** Returns a slot's persistence-engine data: the table's own bytes, which must not be changed. */
  engine(slot: number): EngineBytes | undefined {
    return this.#engines.get(slot)
  }

  /** Stores a copy of a row's sequence data. Returns false if it has none. */
  keepSequence(slot: number, rows: Rows, index: number): boolean {
    const from = index * ROW_WORDS
    if ((rows.words[from + ROW.PRESENT]! & PRESENT.SEQUENCE) === 0) return false
    this.#sequences.set(slot, rows.words.slice(from + ROW.SEQUENCE, from + ROW.SEQUENCE + SEQUENCE_WORDS))
    return true
  }

  /** Stores a copy of a row's persistence-engine data. */
  keepEngine(slot: number, rows: Rows, index: number): void {
    const { name, data } = rows.engines[index]!
    this.#engines.set(slot, { name: name.slice(), data: data.slice() })
  }

  /** Copies a slot's data into a row. Engine data stay the table's own bytes. */
  copyToRow(slot: number, rows: Rows, index: number): void {
    const to = index * ROW_WORDS
    const sequence = this.#sequences.get(slot)
    if (sequence !== undefined) {
      rows.words[to + ROW.PRESENT]! |= PRESENT.SEQUENCE
      rows.words.set(sequence, to + ROW.SEQUENCE)
    }
    const engine = this.#engines.get(slot)
    if (engine !== undefined) {
      rows.words[to + ROW.PRESENT]! |= PRESENT.ENGINE
      rows.engines[index] = engine
    }
  }

  /** Removes a slot's data. */
  delete(slot: number): void {
    this.#sequences.delete(slot)
    this.#engines.delete(slot)
  }

  /** Removes everything. */
  clear(): void {
    this.#sequences.clear()
    this.#engines.clear()
  }
}
